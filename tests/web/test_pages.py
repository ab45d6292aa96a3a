import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from uuid import UUID, uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.settings import Settings
from core.window import Window
from db.queries import models, segments
from db.session import read_only, unit_of_work
from db.tables import Model
from monitors.baselines.segments import FIRST, MOST, OTHER
from services.labels.error_days import ERRORS_BY_SEGMENT, DaySums
from tests import stored
from tests.web.conftest import Browsers
from web.rendering import FOLDER

PAGES = ["/", "/alerts", "/rollouts"]
MODELS = [
    "transformer-load",
    "pump-station-anomaly",
    "tariff-classifier",
    "turbine-vibration",
]
VOID = {"meta", "link", "input", "img", "br", "path", "line", "circle", "rect"}


class Outline(HTMLParser):
    """Reads a page strictly: every element is closed, every id is there once."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loaded: list[str] = []
        self.inline: list[str] = []
        self.labelled: set[str] = set()
        self.fields: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids += [given["id"]] if "id" in given else []
        if tag in ("link", "script", "img"):
            self.loaded += [given[name] for name in ("href", "src") if name in given]
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.inline.append("script")
        if tag == "label":
            self.labelled.add(given["for"])
        if tag == "input" and given.get("type") != "hidden":
            self.fields.append(given["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def outline(html: str) -> Outline:
    reader = Outline()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def every_page(fleet: dict[str, UUID]) -> list[str]:
    models = [f"/models/{name}" for name in MODELS]
    return [*PAGES, *models, *(f"/rollouts/{rollout_id}" for rollout_id in fleet.values())]


def test_every_page_is_well_formed_and_loads_nothing_from_elsewhere(
    signed_in: Browsers, stranger: TestClient, fleet: dict[str, UUID]
) -> None:
    browser = signed_in("read", "operate")
    answers = [stranger.get("/login"), *(browser.get(path) for path in every_page(fleet))]
    for answer in answers:
        assert answer.status_code == 200
        page = outline(answer.text)
        assert all(address.startswith("/static/") for address in page.loaded)
        assert page.inline == []
        assert len(page.ids) == len({*page.ids})
        assert {*page.fields} <= page.labelled
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_what_is_loaded_is_there_and_names_no_other_host(stranger: TestClient) -> None:
    page = outline(stranger.get("/login").text)
    for address in page.loaded:
        answer = stranger.get(address)
        assert answer.status_code == 200
        assert not re.search(r"url\(|@import|importScripts", answer.text)
        known = {"If-None-Match": answer.headers["etag"]}
        assert stranger.get(address, headers=known).status_code == 304


def test_the_drawing_library_comes_with_its_licence() -> None:
    folder = FOLDER / "static" / "vendor" / "uplot"
    assert "MIT License" in (folder / "LICENSE").read_text()
    assert "v1.6.32" in (folder / "uPlot.iife.min.js").read_text()[:100]


@pytest.mark.usefixtures("fleet")
def test_the_fleet_is_found_by_name_and_state_and_shown_by_pages(
    signed_in: Browsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = signed_in("read")

    def shown(address: str) -> list[str]:
        answer = browser.get(address)
        assert answer.status_code == 200
        outline(answer.text)
        return [name for name in MODELS if f'href="/models/{name}"' in answer.text]

    assert shown("/") == [*MODELS]
    assert shown(f"/?q={MODELS[0][:5].upper()}") == [n for n in MODELS if MODELS[0][:5] in n]
    assert shown("/?q=nothing-like-it") == []
    firing = shown("/?health=firing")
    assert 0 < len(firing) < len(MODELS)
    assert shown("/?health=no+such+state&page=x") == [*MODELS]
    monkeypatch.setattr("services.read_models.overview.fleet.PAGE", 1)
    pages = [shown(f"/?page={number}") for number in range(1, len(MODELS) + 1)]
    assert sorted(name for page in pages for name in page) == sorted(MODELS)
    assert pages[0][0] in firing
    assert shown(f"/?page={10**30}") == pages[0]
    assert 'rel="next" href="?q=&amp;health=&amp;group=&amp;tag=&amp;page=2"' in (
        browser.get("/").text
    )


@pytest.mark.usefixtures("fleet")
def test_the_fleet_is_filtered_by_group_and_tag_which_its_rows_show(
    signed_in: Browsers, sessions: sessionmaker[Session]
) -> None:
    browser = signed_in("read")
    assert 'name="tag"' not in browser.get("/").text
    with unit_of_work(sessions) as session:
        for name, tags in ((MODELS[0], ("berlin", "hourly")), (MODELS[1], ("hourly",))):
            model = models.find(session, name)
            model.group, model.tags = "energy", tags

    def shown(address: str) -> list[str]:
        text = browser.get(address).text
        outline(text)
        return [name for name in MODELS if f'href="/models/{name}"' in text]

    assert shown("/?tag=berlin") == [MODELS[0]]
    assert shown("/?group=energy&tag=hourly") == [*MODELS[:2]]
    assert shown("/?group=other") == []
    text = browser.get("/?tag=berlin").text
    assert '<option value="hourly">hourly (2)</option>' in text
    assert '<a href="?tag=berlin">#berlin</a>' in text
    assert f"1 of {len(MODELS)} models" in text
    text = browser.get("/?tag=oslo&health=no+data+yet").text
    assert '<option value="oslo" selected>oslo (0)</option>' in text
    assert f"0 of {len(MODELS)} models" in text


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_platform_shows_what_to_do_next(signed_in: Browsers, path: str) -> None:
    answer = signed_in("read").get(path)
    assert answer.status_code == 200
    outline(answer.text)
    hint = {
        "/": "No model is monitored yet",
        "/alerts": "No alert is firing",
        "/rollouts": "retrained",
    }
    assert hint[path] in answer.text


def test_a_model_without_anything_has_a_page(
    signed_in: Browsers, sessions: sessionmaker[Session], fleet: dict[str, UUID]
) -> None:
    text = signed_in("read").get("/models/tariff-classifier").text
    assert "No prediction has a label yet" in text
    assert "warming up: 12 of 19 windows" in text


def test_a_model_names_its_time_zone_and_shows_days_of_it(
    signed_in: Browsers, sessions: sessionmaker[Session], fleet: dict[str, UUID]
) -> None:
    page, read = "/models/transformer-load", signed_in("read")
    assert "<dt>Days in</dt><dd>UTC</dd>" in read.get(page).text
    with unit_of_work(sessions) as session:
        model = models.find(session, "transformer-load")
        declared = model.contract
        model.contract = replace(declared, zone="Asia/Tokyo")
        [version, *_] = models.versions(session, model.id)
        starts = [datetime(2026, month, 4, 15, tzinfo=UTC) for month in (1, 2, 3, 4)]
        version.reference = (Window(*starts[:2]), Window(*starts[2:]))
    text = read.get(page).text
    assert "<dt>Days in</dt><dd>Asia/Tokyo</dd>" in text
    assert "2026-01-05 to 2026-02-05<br>2026-03-05 to 2026-04-05" in text


def test_a_model_shows_its_segments_those_that_are_wrong_most_first(
    signed_in: Browsers,
    keyed: Callable[..., str],
    settings: Settings,
    sessions: sessionmaker[Session],
    fleet: dict[str, UUID],
) -> None:
    with unit_of_work(sessions) as session:
        model = models.find(session, "tariff-classifier")
        declared = model.contract
        model.contract = replace(declared, segment_by="entity")
    page, read = "/models/tariff-classifier", signed_in("read")
    assert "No row has been counted by segment yet" in read.get(page).text
    listed = "/v1/models/tariff-classifier/segments"
    headers = {"Authorization": f"Bearer {keyed('read', 'ingest')}"}

    with unit_of_work(sessions) as session:
        model = models.find(session, "tariff-classifier")
        assert model.watermark is not None
        cells = np.zeros((FIRST + MOST, len(declared.targets), 5))
        cells[[OTHER, FIRST, FIRST + 1], 0] = [
            [8, 4, 2.0, 4.0, 1.0],
            [8, 4, 1.0, 4.0, 1.0],
            [8, 4, 6.0, 4.0, 9.0],
        ]
        segments.give(session, model.id, {FIRST: "shop <1>", FIRST + 1: None})
        sums, day = DaySums(n_predictions=8, cells=cells), model.watermark.date()
        stored.put(session, ERRORS_BY_SEGMENT, model.id, day, "v1", sums)
    text = read.get(page).text
    assert "shop &lt;1&gt;" in text
    assert text.index("erased <span") < text.index("all others") < text.index("shop &lt;1")
    with TestClient(create_app(settings, sessions), headers=headers) as client:
        found = client.get(listed).json()
        of_nobody = client.get(f"{listed}?version=v9").json()
    assert found["by"] == "entity"
    assert [(one["sort"], one["number"], one["name"]) for one in found["segments"]] == [
        ("named", 2, None),
        ("other", None, None),
        ("named", 1, "shop <1>"),
    ]
    assert [one["error"]["error"] for one in found["segments"]] == [1.5, 0.5, 0.25]
    assert found["segments"][0]["error"] == {
        "n_expected": 8,
        "n_labelled": 4,
        "error": 1.5,
        "naive": 1.0,
    }
    assert [one["error"]["error"] for one in of_nobody["segments"]] == [None, None]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("path", "shown"),
    [
        pytest.param("/", "HULL scaled by 1.80", id="the fleet shows why a model fires"),
        pytest.param("/", "monitor failed", id="a broken monitor is not good health"),
        pytest.param("/", "62 % </span>", id="the smallest error budget"),
        pytest.param("/models/transformer-load", "once in 90 days", id="what is promised"),
        pytest.param("/models/transformer-load", ">0.123<", id="what others call drift"),
        pytest.param(
            "/models/transformer-load",
            "93 % of MUFL lies in 3 of 34",
            id="where bins no longer distinguish values",
        ),
        pytest.param(
            "/models/transformer-load",
            "reference: once in 112 days (43.3 to 411)",
            id="what is achieved",
        ),
        pytest.param("/models/transformer-load", "v2 promoted", id="the promotion is marked"),
        pytest.param(
            "/models/transformer-load", "retrained from", id="where a version is from"
        ),
        pytest.param("/models/transformer-load", "refused", id="why nothing was retrained"),
        pytest.param(
            "/models/transformer-load",
            "in a row, since",
            id="days of one breach are shown once",
        ),
        pytest.param("/alerts", "recovered", id="why an alert was resolved"),
        pytest.param("/alerts", "not sent", id="an inhibited flip is marked"),
        pytest.param("/alerts", "HTTP 503", id="a message that does not get through"),
        pytest.param("/rollouts", "asked for by ops", id="the reason of a rollout"),
    ],
)
def test_pages_show(signed_in: Browsers, fleet: dict[str, UUID], path: str, shown: str) -> None:
    assert shown.replace(" </span>", "") in signed_in("read").get(path).text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("which", "shown"),
    [
        pytest.param("promoted", "evidence 215", id="why it was promoted"),
        pytest.param("canary", "Step up to 25 %", id="its share"),
        pytest.param("canary", "fails more often", id="the evidence"),
        pytest.param("training", "0.313", id="how training goes"),
        pytest.param("rolled_back", "ended here", id="where it ended"),
        pytest.param("first", "Seasonal naive", id="what a first version is compared with"),
        pytest.param("first", "the gate decides", id="why it has no verdict"),
    ],
)
def test_the_page_of_a_rollout_shows(
    signed_in: Browsers, fleet: dict[str, UUID], which: str, shown: str
) -> None:
    assert shown in signed_in("read").get(f"/rollouts/{fleet[which]}").text


def test_a_first_version_goes_through_no_canary(
    signed_in: Browsers, fleet: dict[str, UUID]
) -> None:
    browser = signed_in("read")
    assert "Canary 5 %" not in browser.get(f"/rollouts/{fleet['first']}").text
    assert "Canary 5 %" in browser.get(f"/rollouts/{fleet['promoted']}").text


def test_what_others_wrote_is_escaped(signed_in: Browsers, fleet: dict[str, UUID]) -> None:
    text = signed_in("read").get("/models/turbine-vibration").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize(
    "path",
    [
        "/models/unknown",
        "/rollouts/not-an-id",
        "/rollouts/00000000-0000-0000-0000-000000000000",
    ],
)
def test_what_is_not_there_is_a_page_with_status_404(signed_in: Browsers, path: str) -> None:
    answer = signed_in("read").get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    outline(answer.text)


def test_a_key_for_one_model_sees_that_model_alone(
    signed_in: Browsers, sessions: sessionmaker[Session], fleet: dict[str, UUID]
) -> None:
    with read_only(sessions) as session:
        only = session.scalar(select(Model.id).where(Model.name == "tariff-classifier"))
    browser = signed_in("read", model_id=only)
    for path in PAGES:
        assert "transformer-load" not in browser.get(path).text
    assert browser.get("/models/tariff-classifier").status_code == 200
    assert browser.get("/models/transformer-load").status_code == 404
    assert browser.get(f"/rollouts/{fleet['promoted']}").status_code == 404
    assert browser.get(f"/rollouts/{uuid4()}").status_code == 404
