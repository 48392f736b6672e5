"""The check of words: what was spoken is what was written.

`recognizer` is the protocol of what listens, `faster_whisper` the first backend. `words` brings prompt and transcript
into one form, `sounds` tells what sounds alike, `align` and `comparison` find where they differ, `verdict` judges
whether the voice or the recogniser is at fault. `check` does it all for a batch of clips. It needs the extra [quality].
"""
