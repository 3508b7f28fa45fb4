//! What the queue takes, gives and counts.

use super::*;

/// As a frame of one byte of envelope and as much data as makes this length.
fn push(queue: &Queue, length: usize, limit: Limit) -> Result<(), SendError> {
    queue.push(&0_u64, &vec![0; length - codec::HEADER - 1], Bytes::new(), limit)
}

#[test]
fn each_kind_has_its_bound() {
    let queue = Queue::new(1000);
    for _ in 0..10 {
        push(&queue, 100, Limit::Messages).unwrap();
    }
    assert_eq!(push(&queue, 9, Limit::Messages), Err(SendError::Full));
    assert_eq!(push(&queue, 100, Limit::Messages), Err(SendError::Full));
    assert_eq!(push(&queue, MAX_FRAME + 100, Limit::Messages), Err(SendError::TooLong));
    assert_eq!(queue.pending(), 1000);
    push(&queue, CONTROL_RESERVE - 9, Limit::Control).unwrap();
    assert_eq!(push(&queue, 10, Limit::Control), Err(SendError::Full));
    push(&queue, 9, Limit::Control).unwrap();
    assert_eq!(push(&queue, 9, Limit::Control), Err(SendError::Full));
    assert_eq!(queue.pending(), 1000 + CONTROL_RESERVE);
}

#[test]
fn a_frame_of_the_limits_length_fits_alone() {
    let queue = Queue::new(100);
    assert_eq!(push(&queue, 101, Limit::Messages), Err(SendError::Full));
    push(&queue, 100, Limit::Messages).unwrap();
}

#[test]
fn what_is_being_written_counts() {
    let queue = Queue::new(100);
    push(&queue, 60, Limit::Messages).unwrap();
    let piece = take(&queue);
    assert_eq!((piece.len(), queue.pending()), (60, 60));
    assert_eq!(push(&queue, 60, Limit::Messages), Err(SendError::Full));
    push(&queue, 40, Limit::Messages).unwrap();
    queue.wrote(piece);
    assert_eq!(queue.pending(), 40);
    push(&queue, 60, Limit::Messages).unwrap();
}

#[test]
fn closed_it_gives_what_it_has_and_takes_nothing() {
    let queue = Queue::new(100);
    assert!(queue.try_take().is_pending());
    push(&queue, 60, Limit::Messages).unwrap();
    queue.close();
    assert_eq!(push(&queue, 9, Limit::Control), Err(SendError::Closed));
    queue.wrote(take(&queue));
    assert!(matches!(queue.try_take(), Poll::Ready(None)));
    queue.end();
    assert_eq!(push(&queue, 9, Limit::Control), Err(SendError::Closed));
}

fn take(queue: &Queue) -> Piece {
    let Poll::Ready(Some(piece)) = queue.try_take() else { panic!("no piece") };
    piece
}
