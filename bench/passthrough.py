"""The proxy anybody would write first, to compare with: Flask, and one plain `requests.post` per request."""

import os

import requests
from flask import Flask, Response, request

app = Flask(__name__)
UPSTREAM = os.environ.get("UPSTREAM_URL", "")


@app.post("/v1/chat/completions")
def chat() -> Response:
    body = request.get_json()
    stream = bool(body.get("stream"))
    reply = requests.post(UPSTREAM + "/chat/completions", json=body, stream=stream, timeout=60)
    content = reply.iter_content(None) if stream else reply.content
    return Response(content, status=reply.status_code, content_type=reply.headers["Content-Type"])


@app.get("/livez")
def livez() -> str:
    return "ok\n"
