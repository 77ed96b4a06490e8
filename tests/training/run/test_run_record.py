"""What a run's folder holds beside its record."""

from peftrec.results.record import Epoch
from peftrec.training.run.run_record import epochs_csv


def test_epochs_are_counted_from_one_where_people_read_them() -> None:
    epochs = [
        Epoch(
            epoch=number,
            training_loss=3.0,
            validation={"hr@10": 0.1},
            training_seconds=1.0,
            data_wait_seconds=0.0,
            num_steps=2,
        )
        for number in range(3)
    ]
    head, *rows = epochs_csv(epochs).splitlines()
    assert head.split(",")[0] == "epoch"
    assert [row.split(",")[0] for row in rows] == ["1", "2", "3"]
    assert [epoch.epoch for epoch in epochs] == [0, 1, 2]
