//! Generated from `wit/`: the host's side of both versions of `hatchery:cluster`. What they have in common, types and
//! imports that nobody waits for, is in [`words`] and in [`super::imports`], once.
//!
//! Exports are called through an accessor, so that several can be under way in one instance. What
//! 0.2 guests call and must wait for (`requests`) holds their instance, as with anything blocking
//! in WASI 0.2.

#[expect(unreachable_pub, reason = "generated code re-exports it, though it is private itself")]
pub mod words;

pub(super) mod v02 {
    wasmtime::component::bindgen!({
        path: "wit/0.2",
        interfaces: "
            import hatchery:cluster/requests@0.2.0;
            export hatchery:cluster/lifecycle@0.2.0;
            export hatchery:cluster/receiver@0.2.0;
            export hatchery:cluster/responder@0.2.0;
            export hatchery:cluster/task@0.2.0;
        ",
        imports: { "hatchery:cluster/requests": async, default: trappable },
        exports: { default: async | store },
        with: { "hatchery:cluster/types": super::words },
    });
}

pub(super) mod v03 {
    wasmtime::component::bindgen!({
        path: "wit/0.3",
        interfaces: "
            import hatchery:cluster/requests@0.3.0;
            export hatchery:cluster/lifecycle@0.3.0;
            export hatchery:cluster/receiver@0.3.0;
            export hatchery:cluster/responder@0.3.0;
            export hatchery:cluster/task@0.3.0;
        ",
        imports: { "hatchery:cluster/requests": async | store, default: trappable },
        exports: { default: async | store },
        with: { "hatchery:cluster/types": super::words },
    });
}
