"""The embedded upstream: an OpenAI-compatible server for Llama models of a few million parameters, in numpy.

It answers as vLLM 0.32 does in every field that the gateway reads, so that the demo and the tests need neither PyTorch
nor a GPU. `server` is the way in. From the wire inwards: `routes`; `requests` and `parameters`, which read and check;
`chat_frames` and `legacy_frames`, which tell; `engine`, `sampling`, `tokenizer`, `template`; `llama`, `weights`,
`config`.
"""
