//! Generated from `wit/`: the host's side of both versions of `hatchery:cluster`.
//!
//! Exports are called through an accessor, so that several can be under way in one instance. What
//! 0.2 guests call and must wait for (`requests`) holds their instance, as with anything blocking
//! in WASI 0.2.

pub(super) mod v02 {
    wasmtime::component::bindgen!({
        path: "wit/0.2",
        world: "guest",
        imports: { "hatchery:cluster/requests": async, default: trappable },
        exports: { default: async | store },
    });
}

pub(super) mod v03 {
    wasmtime::component::bindgen!({
        path: "wit/0.3",
        world: "guest",
        imports: { "hatchery:cluster/requests": async | store, default: trappable },
        exports: { default: async | store },
    });
}
