//! Native code that somebody changed in the cache: never loaded, and never a crash. Every byte in turn is in
//! `host::compile`, in one process; here a few, from outside.

use std::{fs, path::PathBuf};

use super::good;
use crate::support::{Service, get};

fn entry(service: &Service) -> PathBuf {
    let files = fs::read_dir(service.home().join("cache")).unwrap().flatten().map(|file| file.path());
    let native: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "native")).collect();
    let [one] = native.as_slice() else { panic!("{native:?}") };
    one.clone()
}

#[tokio::test]
async fn code_that_was_tampered_with_is_compiled_anew() {
    let service = Service::with_own_cache();
    let folder = service.write(&good());
    service.start(&[&folder]).await;
    let file = entry(&service);
    let whole = fs::read(&file).unwrap();
    let key = service.home().join("cache/key");
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let cases = [
        ("the first byte of the MAC", flipped(0)),
        ("the first byte of the code", flipped(32)),
        ("a byte in the middle", flipped(whole.len() / 2)),
        ("the last byte", flipped(whole.len() - 1)),
        ("nothing", vec![]),
        ("half of it", whole[..whole.len() / 2].to_vec()),
        ("more than there was", [&whole[..], b"x"].concat()),
        ("the code without its MAC", whole[32..].to_vec()),
    ];
    let master = service.master().unwrap();
    for (what, bytes) in cases {
        fs::write(&file, bytes).unwrap();
        let said = service.log().matches("does not verify; compiling anew").count();
        service.ok(&["reload", "good"]).await;
        assert_eq!(service.log().matches("does not verify; compiling anew").count(), said + 1, "{what}");
        assert_eq!(get(service.addr_of("good").await, "/hello").await.status, 200, "{what}");
        assert_eq!(fs::read(&file).unwrap().len(), whole.len(), "{what}: it is whole again");
    }
    // Another one's key makes no code right.
    fs::write(&key, [7; 32]).unwrap();
    let said = service.log().matches("does not verify; compiling anew").count();
    service.ok(&["reload", "good"]).await;
    assert_eq!(service.log().matches("does not verify; compiling anew").count(), said + 1);
    assert_eq!(service.master().unwrap(), master);
    assert_eq!(master.zombies(), 0);
}
