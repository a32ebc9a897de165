//! A model of the gate: never is the desk held with the gates shut while somebody is inside of one.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::thread;

use super::place::Place;
use crate::task::TaskId;

/// The place, and what is changed inside its gate or while that is shut. Loom fails where two do that at the same time, or
/// one does not see what the other has done.
struct House {
    desk: Mutex<()>,
    place: Place,
    kept: UnsafeCell<()>,
}

const OWNER: usize = 1;

impl House {
    fn open() -> Arc<Self> {
        let house = Self {
            desk: Mutex::new(()),
            place: Place::new(),
            kept: UnsafeCell::new(()),
        };
        house.place.hand_over(OWNER, TaskId::new(0));
        house.place.open();
        Arc::new(house)
    }

    /// Whether this thread got inside.
    fn go_through(&self, thread: usize) -> bool {
        let enters = self.place.enter(thread);
        if enters {
            self.kept.with_mut(|_| self.place.count());
            self.place.leave();
        }
        enters
    }

    /// Holds the desk, with the gate shut; how many were inside since the last time.
    fn hold(&self, act: impl FnOnce(&Place)) -> usize {
        let _desk = self.desk.lock().unwrap();
        self.place.shut();
        self.place.wait_until_left();
        let passed = self.kept.with_mut(|_| self.place.take_count());
        act(&self.place);
        self.place.open();
        passed
    }
}

#[test]
fn nobody_is_inside_while_the_desk_is_held() {
    loom::model(|| {
        let house = House::open();
        let worker = thread::spawn({
            let house = Arc::clone(&house);
            move || (0..2).filter(|_| house.go_through(OWNER)).count()
        });
        let seen = house.hold(|_| ()) + house.hold(|_| ());
        let passed = worker.join().unwrap();
        assert_eq!(seen + house.hold(|_| ()), passed);
    });
}

#[test]
fn two_may_want_the_desk_while_one_goes_through() {
    loom::model(|| {
        let house = House::open();
        let others = [0, 1].map(|_| {
            let house = Arc::clone(&house);
            thread::spawn(move || house.hold(|_| ()))
        });
        let passed = usize::from(house.go_through(OWNER));
        let seen: usize = others.map(|other| other.join().unwrap()).into_iter().sum();
        assert_eq!(seen + house.hold(|_| ()), passed);
    });
}

#[test]
fn who_owned_the_gate_before_does_not_get_inside() {
    const NEXT: usize = 2;
    loom::model(|| {
        let house = House::open();
        let before = thread::spawn({
            let house = Arc::clone(&house);
            move || usize::from(house.go_through(OWNER))
        });
        let next = thread::spawn({
            let house = Arc::clone(&house);
            move || {
                let seen = house.hold(|place| place.hand_over(NEXT, TaskId::new(1)));
                (seen, usize::from(house.go_through(NEXT)))
            }
        });
        let (seen, passed) = next.join().unwrap();
        assert!(!house.go_through(OWNER));
        let before = before.join().unwrap();
        assert_eq!((seen, passed), (before, house.hold(|_| ())));
    });
}
