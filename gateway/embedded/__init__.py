"""The embedded upstream: an OpenAI-compatible server for Llama models of a few million parameters, in numpy.

It answers as vLLM 0.32 does in every field that the gateway reads, so that the demo and the tests need neither PyTorch nor a GPU.
`server.create_app` is the way in; the files below it, from the wire inwards: `server`, `requests`, `frames`, `engine`, `sampling`,
`template`, `tokenizer`, `llama`, `weights`, `config`.
"""
