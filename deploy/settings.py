"""Settings: bounds and durations of a process. Option > environment > file > default.

Environment variables are called `HANDRAIL_` and the field's name; the file is `handrail.toml` in the working
directory, or the one that `HANDRAIL_SETTINGS` names. Units stand last in each name.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from domain.durations import LONGEST
from domain.errors import InputInvalid

SETTINGS_VARIABLE: Final = "HANDRAIL_SETTINGS"
SETTINGS_FILE: Final = "handrail.toml"


class StuckAfter(BaseModel):
    """From when on what holds a workflow is too long: seconds, or ISO 8601 durations (`PT10M`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    consumer: timedelta | None = Field(default=None, gt=timedelta(0), le=LONGEST)
    """A command in a queue that nobody consumes."""
    start: timedelta | None = Field(default=None, gt=timedelta(0), le=LONGEST)
    """A command in a queue that is consumed."""
    lease: timedelta | None = Field(default=None, gt=timedelta(0), le=LONGEST)
    """A claim past its lease."""
    retrying: timedelta | None = Field(default=None, gt=timedelta(0), le=LONGEST)
    """A step that fails and is tried again."""
    parked: timedelta | None = Field(default=None, gt=timedelta(0), le=LONGEST)
    """A command that its queue does not take."""
    timer: timedelta | None = Field(default=None, gt=timedelta(0), le=LONGEST)
    """What has fallen due and is not decided."""
    approval: timedelta | None = Field(default=None, gt=timedelta(0), le=LONGEST)
    """An approval without a deadline."""
    definition: timedelta | None = Field(default=None, gt=timedelta(0), le=LONGEST)
    """A wait for a definition that nobody has loaded."""


class StuckSettings(StuckAfter):
    """The thresholds for all, for definitions and for activity types, each by name."""

    lag: timedelta | None = Field(default=None, gt=timedelta(0), le=LONGEST)
    """The views, behind the log."""
    definitions: dict[str, StuckAfter] = Field(default_factory=dict)
    activities: dict[str, StuckAfter] = Field(default_factory=dict)


class SealSettings(BaseModel):
    """Seals that the process writes that leads the projector."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: timedelta | None = Field(default=None, ge=timedelta(minutes=1), le=timedelta(days=366))
    """How often: `1d`, `12h`, `30m`, or an ISO 8601 duration; none are written without it."""
    folder: Path | None = None
    """Where to; it must be there."""
    key: Path | None = None
    """The private key (Ed25519, PEM) that signs them; without it they are not signed."""
    keep: int = Field(default=30, ge=1, le=100_000)
    """How many are kept: older ones are taken away."""

    @field_validator("every", mode="before")
    @classmethod
    def _with_unit(cls, given: object) -> object:
        """A number with its unit behind it."""
        match = re.fullmatch("([0-9]{1,6})([dhm])", given.strip().lower()) if isinstance(given, str) else None
        return given if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})

    @model_validator(mode="after")
    def _whole(self) -> SealSettings:
        if self.every is not None and self.folder is None:
            raise ValueError("seals that are written every so often need a folder: set `folder` in [seal]")
        return self


_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes"}


class Settings(BaseSettings):
    """What may be set. An unknown name in the file is an error; in the environment, told as a warning."""

    model_config = SettingsConfigDict(env_prefix="HANDRAIL_", extra="forbid", frozen=True)

    store: SecretStr | None = None
    """Where the store is, if not in a home: `postgresql://user@host:port/database`, with libpq's parameters for TLS."""
    store_password_file: Path | None = None
    """A file with the store's password, for an address without one."""
    broker: SecretStr | None = None
    """Where RabbitMQ is: `amqps://user@host:port/vhost`, with `cafile`, `certfile` and `keyfile` for TLS."""
    broker_password_file: Path | None = None
    """A file with the broker's password, for an address without one."""
    broker_operator: SecretStr | None = None
    """The broker as the login that looks after dead letters; by default as `broker`. For `handrail dead`."""
    broker_operator_password_file: Path | None = None
    """A file with the operator's password, for an address without one."""
    broker_management: SecretStr | None = None
    """Where RabbitMQ's management interface is: `https://user@host:port`; for administrators and `doctor`."""
    broker_management_password_file: Path | None = None
    """A file with the password for the management interface, for an address without one."""
    encryption_keys: Path | None = None
    """The key ring that payloads are encrypted with (`handrail keys new` makes one); none: they are in clear."""
    artifacts: Path = Path(".handrail")
    """The folder that serving processes keep artifacts in; all that run activities share it."""
    vouching: dict[str, list[str]] = Field(default_factory=dict)
    """Which services may say who asked or who decided: definitions by the broker's login, `*` being all."""
    operating: dict[str, dict[str, list[str]]] = Field(default_factory=dict)
    """Which services may pass on operators' acts: definitions by login and verb, `*` being all of either."""
    answering: dict[str, list[str]] = Field(default_factory=dict)
    """Which services answer for foreign activities: queues by login, `*` being all. Nobody else does."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on a serving process logs."""
    traces: Literal["off", "otlp", "console"] = "off"
    """Where spans go: to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names, or to standard error."""
    lease_seconds: float = Field(default=30.0, ge=1.0, le=3_600.0)
    """How long a claim holds without a renewal; it is renewed at every third."""
    attempts_at_once: int = Field(default=512, ge=1, le=100_000)
    """Attempts under way in this process at most."""
    threads: int = Field(default=32, ge=1, le=1_000)
    """Threads for activities that are plain functions."""
    deliveries_held: int = Field(default=4_096, ge=1, le=1_000_000)
    """Step commands that wait in memory at most."""
    cancel_grace_seconds: float = Field(default=30.0, ge=0.0, le=86_400.0)
    """What a cancelled workflow grants its attempts before they are stopped."""
    give_up_seconds: float = Field(default=5.0, ge=0.0, le=3_600.0)
    """How long code that was told to stop is waited for before its attempt is recorded as timed out."""
    closing_grace_seconds: float = Field(default=5.0, ge=0.0, le=3_600.0)
    """How long attempts may go on when the process is asked to end."""
    definition_patience_seconds: float = Field(default=10.0, ge=0.0, le=3_600.0)
    """How long a step whose definition this process lacks waits for another one before its workflow says so."""
    workflows_held: int = Field(default=2_048, ge=1, le=1_000_000)
    """Workflows that stay in memory between decisions."""
    standby_poll_seconds: float = Field(default=0.1, ge=0.01, le=60.0)
    """How often a standby tries whether the holder is still there."""
    grace_seconds: float = Field(default=30.0, ge=0.0, le=86_400.0)
    """How long a serving process may take to finish what is under way when it is asked to end."""
    eager: bool = True
    """Whether a serving process that decides on a step and has room for it claims it in the same transaction."""
    straight: bool = True
    """Whether a serving process publishes its commands straight after the commit, or leaves them to the relay."""
    longest_hold_seconds: float = Field(default=600.0, ge=1.0, le=600.0)
    """How long a delivery may stay unacknowledged; RabbitMQ's own limit is 30 minutes."""
    stuck: StuckSettings = StuckSettings()
    """When workflows are called stuck: `[stuck]` in the file, or as JSON."""
    seal: SealSettings = SealSettings()
    """When the heads of all workflows are sealed: `[seal]` in the file, or as JSON."""
    replay_checks_per_second: float = Field(default=2.0, ge=0.0, le=1_000.0)
    """How many closed and blocked workflows are decided again, to see whether that still agrees; 0: none."""
    heartbeat_seconds: float = Field(default=60.0, ge=0.0, le=86_400.0)
    """How often a serving process starts a heartbeat, which shows that the whole path is whole; 0: never."""
    sweep_seconds: float = Field(default=1.0, ge=0.01, le=3_600.0)
    """How often lapsed leases and unclaimed commands are looked for."""

    @field_validator(
        "store_password_file",
        "broker_password_file",
        "broker_operator_password_file",
        "broker_management_password_file",
        "encryption_keys",
        mode="before",
    )
    @classmethod
    def _none_where_empty(cls, given: object) -> object:
        """A file without a name is none: as a path it would be the working directory."""
        return None if given == "" else given

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - there is no such source here
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Option, environment, file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=settings_file())


def settings_file() -> Path:
    """The settings' file; it need not exist, unless it was named."""
    return Path(os.environ.get(SETTINGS_VARIABLE) or SETTINGS_FILE)


def load_settings() -> Settings:
    """The settings of this process; raises InputInvalid, naming the setting, where one does not fit."""
    if os.environ.get(SETTINGS_VARIABLE) and not settings_file().is_file():
        raise InputInvalid(f"{SETTINGS_VARIABLE} names {settings_file()}, which is no file: write it, or unset it")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        variable = f"HANDRAIL_{name.partition('.')[0].upper()}"
        raise InputInvalid(f"setting {name} ({variable} or {settings_file()}): {first['msg']}") from error
    except SettingsError as error:
        raise InputInvalid(f"settings (the environment, or {settings_file()}) cannot be read: {error}") from error
    except (OSError, ValueError) as error:
        raise InputInvalid(f"settings in {settings_file()} cannot be read: {error}") from error
