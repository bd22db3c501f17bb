"""The application: Headstart's services behind the APIs that clients speak, and its pages."""

import atexit
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Flask
from werkzeug.exceptions import HTTPException

import dashboard.views
from api import anthropic, ollama, openai, operations
from api.authorization import authorize
from api.cors import Cors
from api.disconnect import DisconnectWatcher
from api.handler import Api, Handler
from routing import markers
from services import Services
from settings import loader
from settings.model import Config
from settings.reload import Reloader
from telemetry import logs

# In the order in which they are asked whether a path is theirs; the last one takes what nobody owns.
APIS = (anthropic.API, ollama.API, operations.API, openai.API)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Headstart:
    """What outlives every configuration, for whoever runs the application."""

    reloader: Reloader[Services]
    disconnects: DisconnectWatcher


def create_app(config: Config | None = None, apis: Sequence[Api] = APIS) -> Flask:
    """The WSGI application. config: None loads the configured file. Raises ConfigError."""
    mistake = None
    if config is None:
        config, mistake = loader.load_or_last(markers.mistakes_in)
    logs.set_up(config)
    reloader = Reloader(Services(config))
    reloader.start()
    if mistake:
        reloader.reject(mistake)
    atexit.register(reloader.close)

    app = Flask(__name__, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # api/cors.py answers them
    app.url_map.strict_slashes = False
    disconnects = DisconnectWatcher()
    app.extensions["headstart"] = Headstart(reloader, disconnects)
    handler = Handler(reloader, disconnects, apis)
    cors = Cors(lambda: handler.services.config.server.cors_origins)
    app.before_request(cors.preflight)
    app.before_request(lambda: authorize(handler.services.keys))
    app.after_request(cors.share)
    for api in apis:
        endpoints = api.blueprint(handler)
        for prefix in api.prefixes:
            app.register_blueprint(endpoints, url_prefix=prefix, name=f"{endpoints.name}{prefix}")
    app.register_blueprint(dashboard.views.blueprint())
    app.register_error_handler(HTTPException, handler.no_such_endpoint)
    app.register_error_handler(Exception, handler.unexpected)
    return app
