//! What calls of one instance wait for each other with. On WASI 0.2 there is never more than one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A value that others can wait for.
#[derive(Default)]
pub struct Watch<T> {
    value: Cell<T>,
    next: Cell<u64>,
    /// One for each call that waits at the moment.
    waiting: RefCell<BTreeMap<u64, Waker>>,
}

impl<T: Copy> Watch<T> {
    /// As it is now.
    pub fn get(&self) -> T {
        self.value.get()
    }

    /// Sets it and wakes who waits.
    pub fn set(&self, value: T) {
        self.value.set(value);
        for waker in self.waiting.take().into_values() {
            waker.wake();
        }
    }

    /// Waits until the value is as wanted, and returns it.
    pub async fn until(&self, wanted: impl Fn(T) -> bool) -> T {
        let id = self.next.replace(self.next.get().wrapping_add(1));
        Until { watch: self, wanted, id }.await
    }
}

struct Until<'a, T, F> {
    watch: &'a Watch<T>,
    wanted: F,
    id: u64,
}

impl<T: Copy, F: Fn(T) -> bool> Future for Until<'_, T, F> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let value = self.watch.get();
        if (self.wanted)(value) {
            return Poll::Ready(value);
        }
        self.watch.waiting.borrow_mut().insert(self.id, cx.waker().clone());
        Poll::Pending
    }
}

impl<T, F> Drop for Until<'_, T, F> {
    fn drop(&mut self) {
        self.watch.waiting.borrow_mut().remove(&self.id);
    }
}

/// One at a time, over an `.await` too.
#[derive(Default)]
pub struct Lock {
    held: Watch<bool>,
}

impl Lock {
    /// Waits until nobody holds it. It is free again when the guard is dropped.
    pub async fn lock(&self) -> Guard<'_> {
        // Nothing runs between the wait's end and this, so nobody can come in between.
        self.held.until(|held| !held).await;
        self.held.set(true);
        Guard(self)
    }
}

/// Holds a [`Lock`].
#[must_use = "the lock is free again when this is dropped"]
pub struct Guard<'a>(&'a Lock);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.held.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::{Lock, Watch};
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn waits_until_wanted_and_leaves_nothing_behind() {
        let watch = Watch::<u64>::default();
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut waiting = pin!(watch.until(|v| v > 1));
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
            watch.set(1);
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
            watch.set(2);
            assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Ready(2));
            let mut given_up = pin!(watch.until(|v| v > 9));
            assert!(given_up.as_mut().poll(&mut cx).is_pending());
        }
        assert!(watch.waiting.borrow().is_empty());
    }

    #[test]
    fn one_at_a_time() {
        let lock = Lock::default();
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(guard) = pin!(lock.lock()).poll(&mut cx) else { panic!("free") };
        let mut second = pin!(lock.lock());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        drop(guard);
        assert!(second.as_mut().poll(&mut cx).is_ready());
    }
}
