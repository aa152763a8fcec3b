use super::*;

/// Looks until it is time to yield, which is now; or to sleep.
fn yields(poller: &mut Poller, now: Duration) -> bool {
    poller.go_on(|| now) && (poller.yields() || yields(poller, now))
}

/// A wait that may yield at these times, in microseconds: how often it did before it slept.
fn looks(poller: &mut Poller, times: impl IntoIterator<Item = u64>) -> Option<usize> {
    poller.begin().then(|| times.into_iter().take_while(|&time| yields(poller, Duration::from_micros(time))).count())
}

/// How many waits in a row sleep at once.
fn slept(poller: &mut Poller) -> usize {
    (0..100_000).take_while(|_| !poller.begin()).count()
}

#[test]
fn off_never_looks() {
    let mut poller = Poller::new(Polling::Off);
    assert!((0..10_000).all(|_| !poller.begin()));
    let mut poller = Poller::new(Polling::Fixed(Duration::ZERO));
    assert!((0..10_000).all(|_| !poller.begin()));
}

#[test]
fn a_window_is_bounded() {
    let mut poller = Poller::new(Polling::Adaptive);
    assert_eq!(looks(&mut poller, 5..), Some(20));
    let mut poller = Poller::new(Polling::Fixed(Duration::from_micros(50)));
    assert_eq!(looks(&mut poller, 5..), Some(50));
    // Whose nanoseconds do not fit into 64 bits.
    assert_eq!(Poller::new(Polling::Fixed(Duration::from_secs(1 << 55))).window, u32::MAX);
}

#[test]
fn a_wait_yields_first_and_before_each_eighth_look_and_asks_the_clock_only_then() {
    let mut poller = Poller::new(Polling::Adaptive);
    for _ in 0..3 {
        assert!(poller.begin());
        let mut asked = std::vec::Vec::new();
        for look in 0..20 {
            assert!(poller.go_on(|| {
                asked.push(look);
                Duration::from_micros(look / 2)
            }));
            assert_eq!(poller.yields(), look % 8 == 0);
        }
        assert_eq!(asked, [0, 8, 16]);
        poller.found(|| unreachable!("no yield goes before this look"));
    }
}

#[test]
fn after_a_turn_it_yields_and_asks_the_clock_again() {
    let mut poller = Poller::new(Polling::Adaptive);
    // A driver whose others want the thread before each look takes this long for one, which says nothing of the core.
    for look in 0..3 {
        let mut asked = false;
        assert!(poller.go_on(|| {
            asked = true;
            Duration::from_micros(look * 6)
        }));
        assert!(asked && poller.yields());
        poller.begin_turn();
    }
    // But the window has its end.
    assert!(!yields(&mut poller, Duration::from_micros(21)));
}

#[test]
fn fruitless_windows_are_unlearned_up_to_a_bound() {
    let mut poller = Poller::new(Polling::Adaptive);
    let (mut windows, mut waits) = (std::vec::Vec::new(), std::vec::Vec::new());
    for _ in 0..10 {
        windows.push((0..).take_while(|&time| yields(&mut poller, Duration::from_micros(time))).count());
        waits.push(slept(&mut poller));
    }
    assert_eq!(windows, [20, 40, 80, 100, 100, 100, 100, 100, 100, 100]);
    assert_eq!(waits, [1, 3, 7, 15, 31, 63, 127, 255, 255, 255]);
}

#[test]
fn what_bears_fruit_is_learned_again_at_once() {
    let mut poller = Poller::new(Polling::Adaptive);
    for _ in 0..6 {
        looks(&mut poller, 0..);
        slept(&mut poller);
    }
    assert!(yields(&mut poller, Duration::ZERO));
    poller.found(|| Duration::ZERO);
    assert_eq!(slept(&mut poller), 0);
    assert_eq!(looks(&mut poller, 0..), Some(20));
    assert_eq!(slept(&mut poller), 1);
}

#[test]
fn a_peer_that_has_to_wake_is_waited_for_until_it_does_not_sleep_any_more() {
    let mut poller = Poller::new(Polling::Adaptive);
    let micros = Duration::from_micros;
    let found = |poller: &mut Poller, time: u64| {
        let looked = poller.begin() && (0..time).all(|time| yields(poller, micros(time)));
        poller.found(|| micros(time));
        looked
    };
    for window in [20, 40] {
        assert_eq!(looks(&mut poller, 0..), Some(window));
        slept(&mut poller);
    }
    assert!((0..1000).all(|_| found(&mut poller, 45)), "it wakes each time, and is found each time");
    assert!(found(&mut poller, 80));
    assert!(found(&mut poller, 4));
    assert_eq!(looks(&mut poller, 0..), Some(20), "it does not sleep any more");
}

#[test]
fn a_fixed_window_is_not_unlearned() {
    let mut poller = Poller::new(Polling::Fixed(Duration::from_micros(30)));
    for _ in 0..100 {
        assert_eq!(looks(&mut poller, 0..), Some(30));
    }
}

#[test]
fn others_who_want_the_core_get_it() {
    for polling in [Polling::Adaptive, Polling::Fixed(Duration::from_millis(10))] {
        let mut poller = Poller::new(polling);
        let skips = [512, 1024, 2048, 4096, 8192, 8192];
        for skip in skips {
            // The last yield took 201 µs.
            for (time, goes_on) in [(0, true), (1, true), (2, true), (203, false)] {
                assert_eq!(yields(&mut poller, Duration::from_micros(time)), goes_on);
            }
            assert_eq!(slept(&mut poller), skip);
        }
        // The time between two waits says nothing.
        assert!(yields(&mut poller, Duration::from_secs(1)));
        // As many messages as make a turn take one back.
        for _ in 0..2 * 32 {
            if poller.is_turn_over() {
                poller.begin_turn();
            }
            assert!(poller.begin() && yields(&mut poller, Duration::ZERO));
            poller.found(|| Duration::from_micros(200));
            poller.message();
        }
        assert!(poller.begin() && yields(&mut poller, Duration::ZERO) && !yields(&mut poller, Duration::from_secs(1)));
        assert_eq!(slept(&mut poller), 2048);
    }
}

#[test]
fn others_are_noticed_where_every_look_finds_something() {
    let mut poller = Poller::new(Polling::Adaptive);
    assert!(poller.begin() && yields(&mut poller, Duration::ZERO));
    poller.found(|| Duration::from_micros(201));
    assert_eq!(slept(&mut poller), 512);
}

#[test]
fn a_clock_that_goes_backwards_is_no_contention() {
    let mut poller = Poller::new(Polling::Adaptive);
    assert_eq!(looks(&mut poller, [100, 90, 80, 99]), Some(4));
}

#[test]
fn a_turn_is_bounded_in_messages_and_in_time() {
    let mut poller = Poller::new(Polling::Adaptive);
    let mut messages = 0;
    while !poller.is_turn_over() {
        assert!(poller.begin() && yields(&mut poller, Duration::ZERO));
        poller.found(|| Duration::ZERO);
        poller.message();
        messages += 1;
    }
    assert_eq!(messages, 32);
    poller.begin_turn();
    assert!(!poller.is_turn_over());

    // A look may find many, and messages that nobody looked for count too.
    (0..31).for_each(|_| poller.message());
    assert!(!poller.is_turn_over());
    poller.message();
    assert!(poller.is_turn_over());
    poller.begin_turn();

    let mut now = Duration::from_secs(3);
    let (looks, works) = (Duration::from_micros(4), Duration::from_micros(3));
    while !poller.is_turn_over() {
        assert!(poller.begin() && yields(&mut poller, now));
        assert_eq!(poller.is_turn_longer_than(Duration::from_micros(20)), messages - 32 >= 3);
        now += looks;
        poller.found(|| now);
        poller.message();
        now += works;
        messages += 1;
    }
    assert_eq!(messages, 32 + 15, "15 looks of 4 µs, and 14 times 3 µs of work, are over 100");
}

#[test]
fn whoever_is_faster_asleep_sleeps() {
    let mut poller = Poller::new(Polling::Adaptive);
    let (mut looked, mut slept) = (0, 0);
    for _ in 0..200_000 {
        let looks = poller.begin();
        if looks {
            assert!(yields(&mut poller, Duration::ZERO));
            poller.found(|| Duration::from_micros(8));
            looked += 1;
        } else {
            slept += 1;
        }
        if poller.is_comparing() {
            poller.round(Duration::from_micros(if looks { 17 } else { 13 }));
        }
    }
    assert!(looked < 1400, "{looked} looked, {slept} slept");

    // A window that somebody chose is kept to.
    let mut poller = Poller::new(Polling::Fixed(Duration::from_micros(20)));
    for _ in 0..10_000 {
        assert!(poller.begin() && yields(&mut poller, Duration::ZERO));
        poller.found(|| Duration::from_micros(8));
        assert!(!poller.is_comparing());
    }
}

#[test]
fn nothing_is_compared_where_others_want_the_core() {
    let mut poller = Poller::new(Polling::Adaptive);
    let found = |poller: &mut Poller, micros| {
        assert!(poller.begin() && yields(poller, Duration::ZERO));
        poller.found(|| Duration::from_micros(micros));
    };
    (0..512).for_each(|_| found(&mut poller, 8));
    assert!(poller.is_comparing());
    found(&mut poller, 201);
    assert!(!poller.is_comparing());
    assert_eq!(slept(&mut poller), 512);
    assert!(!poller.is_comparing());
}

/// What looking costs someone who never gets an answer in time.
#[test]
fn at_a_hundred_requests_a_second_it_costs_nothing() {
    let mut poller = Poller::new(Polling::Adaptive);
    let waits = 100 * 3600;
    let looking: usize = (0..waits).filter_map(|_| looks(&mut poller, 0..)).sum();
    // Microseconds in an hour.
    assert!((looking as f64) < 3.6e9 * 0.000_1, "{looking} µs");
}
