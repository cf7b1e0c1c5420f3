"""Models, checkpoints and runs on disk: what lies in which folder, and whether it is intact.

Knows nothing of searching or training; it stores what it is given. Start with model_folder.py, the
format of a model; training_state.py adds what a run needs to resume.
"""
