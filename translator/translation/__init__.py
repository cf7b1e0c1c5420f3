"""Lines in, translated lines out, with all that is known about each of them.

Knows nothing about references, training or the command line. Start with translator.py; units.py
cuts a line into what the model reads at once, decoding.py has it searched for, by the models in
network.py or by another engine, and result.py joins the results.
"""
