//! A link's two ends over a socket pair: order, bounds, and what a broken peer sends.

use std::time::Duration;

use tokio::{task::JoinHandle, time::timeout};

use super::*;

/// Far more than any of these takes.
const DEADLINE: Duration = Duration::from_secs(10);

/// Both ends in one process: what one sends the other reads.
fn link(options: Options) -> (Sender<u64>, JoinHandle<io::Result<()>>, Reader<u64>) {
    let (ours, theirs) = pair().unwrap();
    let (_, sender, writer) = split::<(), _>(ours, options);
    let (reader, ..) = split::<_, ()>(from_fd(theirs).unwrap(), options);
    (sender, tokio::spawn(writer.run()), reader)
}

async fn next(reader: &mut Reader<u64>) -> Result<Option<(u64, Bytes)>, LinkError> {
    timeout(DEADLINE, reader.next()).await.expect("a frame in time")
}

#[test]
fn all_may_be_sent_and_shared() {
    fn check<T: Send + Sync>() {}
    check::<Reader<u64>>();
    check::<Sender<u64>>();
    check::<Writer>();
}

#[tokio::test]
async fn frames_come_in_order_and_then_the_end() {
    let (sender, writer, mut reader) = link(Options::default());
    let other = sender.clone();
    for number in 0..10_000 {
        let sender = if number % 2 == 0 { &sender } else { &other };
        sender.try_send(&number, &vec![number as u8; number as usize % 300]).unwrap();
    }
    drop((sender, other));
    for number in 0..10_000 {
        let (envelope, data) = next(&mut reader).await.unwrap().unwrap();
        assert_eq!(envelope, number);
        assert_eq!(data, vec![number as u8; number as usize % 300]);
    }
    assert!(next(&mut reader).await.unwrap().is_none());
    assert!(next(&mut reader).await.unwrap().is_none());
    writer.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_full_queue_refuses_and_takes_again() {
    let options = Options { queue: 1000, ..Options::default() };
    let (sender, _writer, mut reader) = link(options);
    let frame = [0; 91]; // with one byte of envelope, 100
    for number in 0..10 {
        sender.try_send(&number, &frame).unwrap();
    }
    assert_eq!(sender.try_send(&10, &frame), Err(SendError::Full));
    assert_eq!(sender.queued(), 1000);
    sender.send_control(&10, &frame).unwrap();
    timeout(DEADLINE, sender.flushed()).await.unwrap().unwrap();
    assert_eq!(sender.queued(), 0);
    sender.try_send(&11, &frame).unwrap();
    for number in 0..12 {
        assert_eq!(next(&mut reader).await.unwrap().unwrap().0, number);
    }
}

#[tokio::test]
async fn what_a_slow_peer_has_not_read_counts() {
    let options = Options { queue: 4 << 20, ..Options::default() };
    let (sender, _writer, mut reader) = link(options);
    let mut sent = 0;
    // Twice the queue: the kernel takes some, the rest stays.
    for number in 0..128 {
        if sender.try_send(&number, &[0; 64 << 10]).is_ok() {
            sent += 1;
        }
        tokio::task::yield_now().await;
    }
    assert!((63..80).contains(&sent), "{sent} of 128");
    assert!(timeout(Duration::from_millis(20), sender.flushed()).await.is_err());
    for _ in 0..sent {
        assert_eq!(next(&mut reader).await.unwrap().unwrap().1.len(), 64 << 10);
    }
    timeout(DEADLINE, sender.flushed()).await.unwrap().unwrap();
}

#[tokio::test]
async fn closing_flushes_and_refuses() {
    let (sender, writer, mut reader) = link(Options::default());
    sender.try_send(&1, &[0; 4 << 20]).unwrap();
    sender.close();
    assert_eq!(sender.try_send(&2, &[]), Err(SendError::Closed));
    assert_eq!(next(&mut reader).await.unwrap().unwrap().1.len(), 4 << 20);
    assert!(next(&mut reader).await.unwrap().is_none());
    writer.await.unwrap().unwrap();
    sender.flushed().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_is_gone_ends_the_writer_and_who_waits_for_it() {
    let (sender, writer, reader) = link(Options::default());
    sender.try_send(&1, &[0; 4 << 20]).unwrap();
    let waiting = sender.clone();
    let waiting = tokio::spawn(async move { waiting.flushed().await });
    tokio::task::yield_now().await;
    drop(reader);
    let error = timeout(DEADLINE, writer).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(timeout(DEADLINE, waiting).await.unwrap().unwrap(), Err(SendError::Closed));
    assert_eq!(sender.try_send(&2, &[]), Err(SendError::Closed));
    assert_eq!(sender.queued(), 0);
}

/// What the reader makes of these bytes and the end.
async fn read(bytes: &[u8], max_frame: usize) -> Result<Option<(u64, Bytes)>, LinkError> {
    let (mut ours, theirs) = pair().unwrap();
    let options = Options { max_frame, ..Options::default() };
    let (mut reader, ..) = split::<_, ()>(from_fd(theirs).unwrap(), options);
    ours.write_all(bytes).await.unwrap();
    drop(ours);
    next(&mut reader).await
}

#[tokio::test]
async fn hostile_bytes_are_errors() {
    assert!(matches!(read(b"", 100).await, Ok(None)));
    assert!(matches!(read(b"GET / HTTP/1.1\r\n\r\n", 100).await, Err(LinkError::Frame(_))));
    assert!(matches!(read(&[101, 0, 0, 0], 100).await, Err(LinkError::Frame(_))));
    assert!(matches!(read(&[255; 4], usize::MAX).await, Err(LinkError::Frame(_))));
    assert!(matches!(read(&[6, 0, 0, 0, 1], 100).await, Err(LinkError::Cut)));
    assert!(matches!(read(&[6, 0, 0, 0, 1, 0, 0, 0, 7, 9], 100).await, Ok(Some((7, _)))));
}

#[tokio::test]
async fn what_a_peer_sent_before_it_died_is_read_though_it_left_ours_unread() {
    let (ours, theirs) = pair().unwrap();
    let (mut reader, sender, writer) = split::<u64, u64>(ours, Options::default());
    tokio::spawn(writer.run());
    sender.try_send(&1, b"unread").unwrap();
    sender.flushed().await.unwrap();
    let mut theirs = from_fd(theirs).unwrap();
    theirs.write_all(&[5, 0, 0, 0, 1, 0, 0, 0, 7]).await.unwrap();
    drop(theirs);
    assert_eq!(next(&mut reader).await.unwrap().unwrap().0, 7);
    assert!(next(&mut reader).await.unwrap().is_none());
}
