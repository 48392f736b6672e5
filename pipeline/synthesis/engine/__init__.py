"""The engine: continuous batching for Parler-TTS. It gives the clips of the reference backend, and is much faster.

The modules in the order in which an utterance passes through them:

    engine          the `Synthesizer`; token ids in, clips out
    async_pipeline  threads: the caller's source, the decoder, the codec, the caller
    decoder_loop    the decoder stage: how many slots, how large, what to do when memory runs out
    scheduler       which request gets which slot, and when
    runner          the slots: admit requests, step, collect finished rows
    conditioning    the description through T5, once for each distinct text
    cache           keys and values: slots of self-attention, shared entries of cross-attention
    prefill         keys and values of prompts, several at once
    step            one decoder step of all slots: embeddings, layers, heads, sampling, state of the rows
    sampling        codes from logits, with noise that is keyed by the utterance's seed
    codec           codes to samples, on a CPU; `batched_codec`, `windows` and `snake` on a GPU

`weights` and `packed_linear` hold the decoder's parameters, `layers` the transformer that prefill and step share,
`strategy` the differences between a CPU and a GPU, `graphs` the step as CUDA graphs, `transfers` asynchronous copies,
`memory` the free memory, and `batch_invariance` the batch sizes for which clips do not depend on their batch.
"""
