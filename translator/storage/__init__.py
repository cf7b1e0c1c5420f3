"""Models, checkpoints and runs on disk: which files a folder holds, and whether they are intact.

Knows nothing of searching or training; it stores what it is given. Start with model_folder.py, the
format of a model; training_state.py adds what a run needs to resume.
"""
