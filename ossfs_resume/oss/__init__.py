"""One bucket over HTTP: listings, metadata and ranged reads. Knows nothing of caching.

``endpoint`` says where a bucket lives, ``request`` what to ask, ``signing`` proves who asks.
``headers``, ``listing``, ``range_answer`` and ``error_responses`` judge the answer, ``retry``
decides whether to ask again, ``throttling`` and ``hedging`` how many ask, and ``outage`` tells once
that nobody answers.

``network`` and ``proxy`` make connections. Metadata goes over ``transport`` (httpx) and its
``connections``; the bytes of objects over ``links`` and ``exchange``, straight into the buffers of
who asked for them. ``sender`` makes one attempt over either, ``range_reader`` brings a range of one
version by as many as it takes. ``client.OssClient`` is what the rest of the program uses.
"""
