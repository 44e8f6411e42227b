"""What the page of a job reads: the ends of logs, and curves."""

from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from azureml_local.log_tail import TAIL, read_from
from azureml_local.metrics import MAX_POINTS, read_curves, read_params, thinned


def test_of_a_long_log_the_end_is_read_from_the_start_of_a_line(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(20_000)))
    piece = read_from(log)
    assert TAIL - 20 < piece.end - piece.start <= TAIL
    assert piece.text.startswith("line ")
    assert piece.text.endswith("line 19999\n")
    assert read_from(log, 5).start == piece.start  # too far back
    log.write_text("anew\n")
    assert read_from(log, piece.end).text == "anew\n"


def test_a_character_is_not_cut_in_two(tmp_path: Path):
    log = tmp_path / "log"
    log.write_bytes("ä€".encode()[:-1])
    first = read_from(log)
    assert (first.text, first.end) == ("ä", 2)
    log.write_bytes("ä€".encode())
    assert read_from(log, first.end).text == "€"
    log.write_bytes(b"\xff!")
    assert read_from(log).text == "\ufffd!"


def test_a_thin_curve_keeps_its_ends_and_its_extremes():
    curve = [(step, float(step % 7)) for step in range(10_000)]
    curve[1234], curve[4321] = (1234, 99.0), (4321, -99.0)
    curve[5000] = (5000, None)
    few = thinned(curve)
    assert len(few) <= MAX_POINTS
    assert {(1234, 99.0), (4321, -99.0), curve[0], curve[-1]} <= set(few)
    assert few == sorted(few, key=lambda point: point[0])
    assert thinned(curve[:10]) == curve[:10]
    assert len(thinned([(step, None) for step in range(5000)])) <= MAX_POINTS


def test_curves_come_in_parts_from_the_tables_that_mlflow_makes(tmp_path: Path):
    from mlflow.store.tracking.dbmodels.models import SqlMetric, SqlParam

    database = tmp_path / "mlflow.db"
    assert read_curves(database, "job") == (0, {})
    assert read_params(database, "job") == {}
    engine = create_engine(f"sqlite:///{database}")
    SqlMetric.metadata.create_all(engine, tables=[SqlMetric.__table__, SqlParam.__table__])

    def log(run: str, step: int, value: float, is_nan: bool = False) -> None:
        with Session(engine) as session, session.begin():
            named = {"run_uuid": run, "key": "loss", "timestamp": 1}
            session.add(SqlMetric(**named, step=step, value=value, is_nan=is_nan))

    log("job", 0, 3.0)
    log("job", 1, 0.0, is_nan=True)  # as MLflow keeps them: not a number, and infinity
    log("job", 2, 1.7976931348623157e308)
    log("job", 3, 1.5)
    log("other", 0, 7.0)
    last, curves = read_curves(database, "job")
    assert curves == {"loss": [(0, 3.0), (1, None), (2, None), (3, 1.5)]}
    assert read_curves(database, "job", last) == (last, {})
    log("job", 4, 1.25)
    assert read_curves(database, "job", last)[1] == {"loss": [(4, 1.25)]}
    with Session(engine) as session, session.begin():
        session.add(SqlParam(run_uuid="job", key="seed", value="0"))
    assert read_params(database, "job") == {"seed": "0"}
    engine.dispose()
