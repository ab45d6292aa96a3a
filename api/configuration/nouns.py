"""The nouns of the configuration: a new one is one module, and a name here."""

from api.configuration.alert_routes import Routes
from api.configuration.channels import Channels
from api.configuration.models import Models
from api.configuration.silences import Silences
from services.configuration.noun import Noun

NOUNS: tuple[Noun, ...] = (Channels(), Routes(), Silences(), Models())
