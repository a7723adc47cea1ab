"""One bucket over HTTP: listings, metadata and ranged reads. Knows nothing of caching.

``location`` and ``endpoint`` say where a bucket lives, ``request`` what to ask, ``sign`` and
``signer`` prove who asks. ``wire``, ``listing``, ``range_answer`` and ``refusal`` judge the answer,
``retry`` decides whether to ask again: all of it values in, values out, except ``signer``.
``credentials``, ``network``, ``connections``, ``transport``, ``lane``, ``sending``,
``range_reading`` and ``client`` do the waiting. ``client.OssClient`` is what the rest of the
program uses.
"""
