"""The engine: continuous batching for Parler-TTS. Exact against the reference, and much faster.

The path of one utterance, and the file of each part:

    conditioning   text to ids; the description through T5, once for each distinct text
    cache          keys and values: B slots of self-attention, shared entries of cross-attention
    prefill        the prompt's keys and values, several newcomers at once
    step           one decoder step of all slots: embed, layers, heads, rules, draw, bookkeeping
    sampling       logits to codes, with noise that belongs to the utterance
    scheduler      which utterance takes which slot, and when: plain Python, no tensor
    decoding       the decoder as a stage: how many slots, how large, for as long as utterances come
    codec          finished codes to samples, beside the decoder
    engine         the Synthesizer that puts these together, with `overlap` for its threads

`weights` holds the decoder's parameters in the form a step wants, `layers` the transformer that prefill and step share.
On a GPU there are also `graphs`, the step as CUDA graphs; `batches`, several clips through the codec at once, cut as
`windows` says; `snake`, its activation as one kernel; and `transfers`, to and from the host. Inside, there are tensors
and ids only: no files, no config tree.
"""
