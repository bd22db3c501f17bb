"""The whole application in this process, behind a real socket: for what a test has to reach into."""

import logging
import threading
from contextlib import contextmanager
from pathlib import Path

import requests
import yaml
from werkzeug.serving import make_server

import app
from settings import loader
from tests.support.server import HANG_GUARD_S


class InProcess:
    """A served application, and its folder with app.log and sessions/."""

    def __init__(self, application, url, folder):
        self.application = application
        self.url = url
        self.folder = Path(folder)

    @property
    def services(self):
        return self.application.extensions["headstart"].reloader.parts

    def post(self, path, body, **kwargs):
        return requests.post(self.url + path, json=body, timeout=HANG_GUARD_S, **kwargs)

    def log_text(self):
        return (self.folder / "app.log").read_text()


@contextmanager
def serving(folder, config, **options):
    """Serve a configuration (a dict). options: of app.create_app. What it sets up for logging ends with
    it.
    """
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    file = Path(folder) / "config.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    application = app.create_app(loader.load(file, {}), **options)
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    reloader = application.extensions["headstart"].reloader
    try:
        yield InProcess(application, f"http://127.0.0.1:{server.server_port}", folder)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(HANG_GUARD_S)
        reloader.parts.stop()
        reloader.close()
        for handler in root.handlers:
            handler.close()
        root.handlers, root.level = handlers, level
