"""How fast a link is, and when its newest byte came."""

from ossfs_resume.fetch.traffic import RateMeter, Traffic


def test_the_meter_counts_busy_time_only() -> None:
    meter = RateMeter()
    meter.begin(100.0)
    assert not meter.add(1000, 100.04)
    assert meter.rate is None
    assert meter.add(1000, 101.0)
    assert meter.rate == 2000.0
    assert not meter.add(0, 101.2)  # from then on a quarter of a second at a time
    meter.begin(500.0)
    assert meter.add(2000, 501.0)
    assert meter.rate == 2000.0


def test_bytes_are_counted_and_the_newest_is_remembered() -> None:
    traffic = Traffic()
    traffic.begin(100.0)
    assert not traffic.arrived(1000, 100.04)
    assert traffic.arrived(1000, 101.0)
    assert (traffic.bytes_received, traffic.bytes_per_second) == (2000, 2000.0)
    assert traffic.newest_byte == 101.0


def test_a_pause_of_our_own_counts_as_if_bytes_had_come_at_its_end() -> None:
    traffic = Traffic()
    traffic.arrived(1, 10.0)
    traffic.excuse(15.0)
    assert traffic.newest_byte == 15.0
    traffic.excuse(12.0)
    assert traffic.newest_byte == 15.0
