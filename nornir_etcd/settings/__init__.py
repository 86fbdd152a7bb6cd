"""Role variables to Settings: defaults, Jinja in a sandbox, validation. Pure: no I/O."""

from nornir_etcd.settings.load import load_settings
from nornir_etcd.settings.model import Settings
from nornir_etcd.settings.variables import HostVariables

__all__ = ["HostVariables", "Settings", "load_settings"]
