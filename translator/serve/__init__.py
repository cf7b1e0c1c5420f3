"""Requests in, translations out: LibreTranslate's REST form, and a page.

`app.py` says which address does what, `batching.py` how requests share the model. One thread uses
the model; the event loop never waits for it. Must not know what a model is: that ends at
`translators.py`. Needs the extra `serve`. Read `app.py` first.
"""
