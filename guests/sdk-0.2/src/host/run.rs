//! Runs a call's future on WASI 0.2, where everything that it awaits has blocked and is ready.

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

type Task = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static SPAWNED: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
}

/// Runs a future when the call that spawns it is done, before that call returns to the host: an HTTP
/// response is out by then, another answer is not. There is nothing that runs between calls.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    SPAWNED.with_borrow_mut(|spawned| spawned.push(Box::pin(future)));
}

/// Runs a call, and what it spawned.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let result = finish(pin!(future));
    loop {
        let spawned = SPAWNED.take();
        if spawned.is_empty() {
            return result;
        }
        for mut task in spawned {
            finish(task.as_mut());
        }
    }
}

/// # Panics
///
/// Where it waits for another call: none can run before this one is done.
fn finish<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> T {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("on wasi 0.2 a call can't wait for another; use wasi 0.3"),
    }
}
