//! The allocator's memory.

/// Gives the system back what the allocator keeps: of this thread, and what no thread has. It keeps what a burst
/// has needed until it is asked for memory again, which in a process that then has nothing to do is never.
///
/// Takes a millisecond or two where there is much.
pub fn give_back() {
    // SAFETY: it may be called at any time, by any thread.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
