//! The cache in one process: what of an entry's bytes may be another.

use std::path::Path;

use super::*;
use crate::host::Purpose;

/// The smallest that the host calls.
const COMPONENT: &str = r#"(component
    (core module $module
        (memory (export "memory") 1)
        (func (export "run") (param i32 i32 i32 i32 i32) (result i32) (i32.const 0))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
    (core instance $core (instantiate $module))
    (alias core export $core "memory" (core memory $memory))
    (alias core export $core "realloc" (core func $realloc))
    (func $run (param "name" string) (param "payload" (option (list u8))) (result (result (error string)))
        (canon lift (core func $core "run") (memory $memory) (realloc $realloc)))
    (instance $task (export "run" (func $run)))
    (export "hatchery:cluster/task@0.2.0" (instance $task)))"#;

fn compiled(engine: &Engine, folder: &Path) -> Native {
    compile(engine, &folder.join("a.wasm"), folder).unwrap()
}

#[test]
fn every_byte_counts() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(Purpose::Compile).unwrap();
    fs::write(folder.path().join("a.wasm"), wat::parse_str(COMPONENT).unwrap()).unwrap();
    let native = compiled(&engine, folder.path());
    assert!(!native.cached && compiled(&engine, folder.path()).cached);

    let entry = Entry::new(&engine, folder.path(), &native.digest);
    let (key, whole) = (entry.key().unwrap(), fs::read(&entry.file).unwrap());
    assert!(verified(&key, &entry.file, whole.clone()).is_some());
    let mut bytes = whole.clone();
    for at in 0..bytes.len() {
        bytes[at] ^= 1 << (at % 8);
        assert!(verified(&key, &entry.file, bytes.clone()).is_none(), "byte {at} of {}", bytes.len());
        bytes[at] = whole[at];
    }
    for length in [0, 1, KEY - 1, KEY, KEY + 1, whole.len() / 2, whole.len() - 1] {
        assert!(verified(&key, &entry.file, whole[..length].to_vec()).is_none(), "{length} bytes");
    }
    // Nor does it stand for another component, or for other settings.
    let other =
        entry.file.with_file_name(format!("0{}", &entry.file.file_name().unwrap().to_str().unwrap()[1..]));
    assert!(other == entry.file || verified(&key, &other, whole.clone()).is_none());
    assert!(verified(&[7; KEY], &entry.file, whole.clone()).is_none());

    // What does not verify is compiled anew, and is then there again.
    for at in [0, KEY - 1, KEY, whole.len() / 3, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x80;
        fs::write(&entry.file, bytes).unwrap();
        assert!(!compiled(&engine, folder.path()).cached, "byte {at}");
        assert!(compiled(&engine, folder.path()).cached, "byte {at}");
    }
    println!("{} bytes", whole.len());
}
