"""Makes the voices that ship with the project: a small Parler checkpoint, trained on speech of free teachers.

    python -m scripts.voice FOLDER --preset cpu --texts novels/

One command with stages; each prints what it measured, keeps its result in FOLDER and goes on where it was stopped:

    text      novels and our own sentences -> lines               sentences, template_sentences, manifest
    speech    lines -> samples, and when each word is spoken      teachers, neural_teachers, phones, speech
    codes     speech -> a quantizer, and the codes of all speech  quantizer, codec, spectra
    codec     trains what turns codes into samples                retiming, excitation, codec_decoder
    decoder   trains what turns text into codes                   tokenizer, descriptions, decoder, decoder_training
    export    all -> a folder that plain parler_tts loads         export, model_card.md
    evaluate  error rate, naturalness, likeness of that folder    judges, evaluate

All numbers are in `recipe`, the start of a folder in `setup`, the loop of all trainings in `trainer` and `muon`,
their state on disk in `checkpoints`. What it needs beside the project is in `requirements.txt`.
"""
