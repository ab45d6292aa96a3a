"""Put the application together."""

from fastapi import FastAPI
from sqlalchemy.orm import Session, sessionmaker

from api import alerts, channels, description, errors, health, keys, metrics, models, versions
from api.dependencies import Platform
from api.security import SecurityHeaders
from core import __version__
from core.settings import Settings
from notify.webhook import Sender
from services.access import Door
from services.registry import Directory


def create_app(settings: Settings, sessions: sessionmaker[Session]) -> FastAPI:
    """Build the application from its parts; nothing is read at import."""
    parts = Platform(
        settings=settings,
        sessions=sessions,
        door=Door(sessions),
        directory=Directory(sessions),
        sender=Sender(
            allow=settings.webhook_allow,
            timeout=settings.webhook_timeout,
            public_url=settings.public_url,
        ),
    )
    # The framework's own description is open to all, and its pages load scripts from
    # elsewhere: ours is behind a key, for any viewer.
    app = FastAPI(title="Seqwatch", version=__version__, openapi_url=None)
    app.state.platform = parts
    app.add_middleware(SecurityHeaders)
    errors.install(app)
    for room in (alerts, channels, description, health, keys, metrics, models, versions):
        app.include_router(room.router)
    return app
