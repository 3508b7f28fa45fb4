//! A loaded component: which of the known interfaces it exports, and how to instantiate it.

use wasmtime::{
    Store,
    component::{Component, Instance, InstancePre},
};
use wasmtime_wasi_http::{
    p2::bindings::exports::wasi::http::incoming_handler as p2_http,
    p3::bindings::exports::wasi::http::handler as p3_http,
};

use super::{
    Engine, Settings,
    bindings::{v02, v03},
    clock::{Computing, Spin},
    linker::linker,
    resident::clocked,
    store::{State, store},
    trap::describe,
};

/// One of two versions of the same thing.
pub(super) enum Version<A, B> {
    /// Of WASI 0.2: plain functions.
    V02(A),
    /// Of WASI 0.3: async functions.
    V03(B),
}

/// Which WASI a component's HTTP handler, or else its first interface of ours, is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wasi {
    /// Takes one call at a time.
    P2,
    /// Takes many calls at once.
    P3,
}

macro_rules! exports {
    ($($field:ident: $two:ident :: $($two_path:ident)::+ | $three:ident :: $($three_path:ident)::+
        = $name:literal @ $two_version:literal | $three_version:literal;)*) => {
        /// Where a component's exports are, found once.
        struct Indices {
            $($field: Option<Version<
                $two::$($two_path)::+::GuestIndices,
                $three::$($three_path)::+::GuestIndices,
            >>,)*
        }

        /// An instance's exports, ready to be called.
        pub(super) struct Exports {
            $(pub(super) $field: Option<Version<
                $two::$($two_path)::+::Guest,
                $three::$($three_path)::+::Guest,
            >>,)*
        }

        impl Indices {
            fn find(pre: &InstancePre<State>, names: &[String]) -> wasmtime::Result<Self> {
                Ok(Self {
                    $($field: match version(names, $name, $two_version, $three_version) {
                        Some(Version::V02(())) => {
                            Some(Version::V02($two::$($two_path)::+::GuestIndices::new(pre)?))
                        }
                        Some(Version::V03(())) => {
                            Some(Version::V03($three::$($three_path)::+::GuestIndices::new(pre)?))
                        }
                        None => None,
                    },)*
                })
            }

            fn load(&self, store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Exports> {
                Ok(Exports {
                    $($field: match &self.$field {
                        Some(Version::V02(indices)) => Some(Version::V02(indices.load(&mut *store, instance)?)),
                        Some(Version::V03(indices)) => Some(Version::V03(indices.load(&mut *store, instance)?)),
                        None => None,
                    },)*
                })
            }
        }

        /// The interfaces that the host calls, as `name@major.minor` of the later version.
        const CALLED: &[&str] = &[$(concat!($name, "@", $three_version),)*];
    };
}

exports! {
    lifecycle: v02::exports::hatchery::cluster::lifecycle | v03::exports::hatchery::cluster::lifecycle
        = "hatchery:cluster/lifecycle" @ "0.2" | "0.3";
    receiver: v02::exports::hatchery::cluster::receiver | v03::exports::hatchery::cluster::receiver
        = "hatchery:cluster/receiver" @ "0.2" | "0.3";
    responder: v02::exports::hatchery::cluster::responder | v03::exports::hatchery::cluster::responder
        = "hatchery:cluster/responder" @ "0.2" | "0.3";
    task: v02::exports::hatchery::cluster::task | v03::exports::hatchery::cluster::task
        = "hatchery:cluster/task" @ "0.2" | "0.3";
}

// Not in the macro: its two versions have different names.
type HttpIndices = Version<p2_http::GuestIndices, p3_http::GuestIndices>;
pub(super) type Http = Version<p2_http::Guest, p3_http::Guest>;

/// The versions of `name` among a component's exports: 0.3 where it has both.
fn version(names: &[String], name: &str, two: &str, three: &str) -> Option<Version<(), ()>> {
    if has(names, name, three) {
        Some(Version::V03(()))
    } else if has(names, name, two) {
        Some(Version::V02(()))
    } else {
        None
    }
}

/// Is `name@minor`, of any patch, among `names`?
fn has(names: &[String], name: &str, minor: &str) -> bool {
    names.iter().any(|export| {
        export
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('@'))
            .and_then(|rest| rest.strip_prefix(minor))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

const P2_HTTP: (&str, &str) = ("wasi:http/incoming-handler", "0.2");
const P3_HTTP: (&str, &str) = ("wasi:http/handler", "0.3");

/// A component that can be instantiated.
pub struct Guest {
    pub(super) engine: Engine,
    pre: InstancePre<State>,
    http: Option<HttpIndices>,
    exports: Indices,
    wasi: Wasi,
}

/// An instance and its store.
pub(super) struct Live {
    pub(super) store: Store<State>,
    pub(super) http: Option<Http>,
    pub(super) exports: Exports,
}

impl Guest {
    /// Links the component and finds its exports.
    ///
    /// # Errors
    ///
    /// When it imports what the host does not offer, or exports an interface of ours with other
    /// types, or nothing that the host could call.
    pub fn new(engine: Engine, component: &Component) -> anyhow::Result<Self> {
        let names: Vec<String> =
            component.component_type().exports(&engine.wasmtime).map(|(name, _)| name.to_owned()).collect();
        let pre = linker(&engine)?.instantiate_pre(component)?;
        let http = if has(&names, P3_HTTP.0, P3_HTTP.1) {
            Some(Version::V03(p3_http::GuestIndices::new(&pre)?))
        } else if has(&names, P2_HTTP.0, P2_HTTP.1) {
            Some(Version::V02(p2_http::GuestIndices::new(&pre)?))
        } else {
            None
        };
        let exports = Indices::find(&pre, &names)?;
        let wasi = match (&http, &exports) {
            (Some(Version::V02(_)), _) => Wasi::P2,
            (Some(Version::V03(_)), _) => Wasi::P3,
            (None, Indices { lifecycle, receiver, responder, task }) => {
                let two = matches!(lifecycle, Some(Version::V02(_)))
                    || matches!(receiver, Some(Version::V02(_)))
                    || matches!(responder, Some(Version::V02(_)))
                    || matches!(task, Some(Version::V02(_)));
                if two { Wasi::P2 } else { Wasi::P3 }
            }
        };
        let guest = Self { engine, pre, http, exports, wasi };
        if !guest.answers_http() && !guest.has_resident_exports() {
            anyhow::bail!(
                "the component exports nothing that Hatchery calls; it exports {}, and should export {}@{} \
                 or {}@{} to answer requests, or one of {} to take part in the cluster",
                if names.is_empty() { "nothing".to_owned() } else { names.join(", ") },
                P3_HTTP.0,
                P3_HTTP.1,
                P2_HTTP.0,
                P2_HTTP.1,
                CALLED.join(", "),
            );
        }
        Ok(guest)
    }

    /// Can it answer requests?
    #[must_use]
    pub fn answers_http(&self) -> bool {
        self.http.is_some()
    }

    /// Does it export what only a resident instance is called for?
    #[must_use]
    pub fn has_resident_exports(&self) -> bool {
        let Indices { lifecycle, receiver, responder, task } = &self.exports;
        lifecycle.is_some() || receiver.is_some() || responder.is_some() || task.is_some()
    }

    /// Does it take messages?
    #[must_use]
    pub fn receives(&self) -> bool {
        self.exports.receiver.is_some()
    }

    /// Does it answer questions?
    #[must_use]
    pub fn responds(&self) -> bool {
        self.exports.responder.is_some()
    }

    /// Which WASI it is of.
    #[must_use]
    pub fn wasi(&self) -> Wasi {
        self.wasi
    }

    /// Says whether its instances in this process, whichever they are, compute for long.
    #[must_use]
    pub fn computing(&self) -> Computing {
        self.engine.clock.computing()
    }

    /// A fresh instance in a fresh store, whose computing `spin` counts.
    pub(super) async fn instantiate(&self, settings: &Settings, spin: &Spin) -> anyhow::Result<Live> {
        let mut store = store(&self.engine, settings, spin.clone())?;
        let instance = clocked(&self.engine.clock, spin, self.pre.instantiate_async(&mut store)).await;
        let instance = instance
            .map_err(|error| anyhow::anyhow!("cannot instantiate the component: {}", describe(&error)))?;
        let http = match &self.http {
            Some(Version::V02(indices)) => Some(Version::V02(indices.load(&mut store, &instance)?)),
            Some(Version::V03(indices)) => Some(Version::V03(indices.load(&mut store, &instance)?)),
            None => None,
        };
        let exports = self.exports.load(&mut store, &instance)?;
        Ok(Live { store, http, exports })
    }
}
