//! A component that is small, and long to compile.

/// Loops in loops, each with all of so many locals: what a compiler has to remember of them grows with the
/// product, in time and in memory.
pub(crate) fn bomb(locals: usize, loops: usize) -> Vec<u8> {
    let uses: String = (1..=locals)
        .map(|local| format!("local.get {local} i32.const 1 i32.add local.set {local} "))
        .collect();
    let text = format!(
        "(component (core module (func (param i32) (result i32) (local {}) {} {uses} {} local.get 0)))",
        "i32 ".repeat(locals),
        "loop ".repeat(loops),
        "local.get 0 br_if 0 end ".repeat(loops),
    );
    wat::parse_str(text).unwrap()
}
