//! What belongs to one instance: its WASI context, its resources, its limits, its way out.

use std::{sync::Arc, time::Duration};

use wasmtime::{Store, UpdateDeadline, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::{Engine, Messenger, Outgoing, clock::Spin, limits::Limiter, outbound::Outbound, wasi};
use crate::cluster::Limit;
use crate::manifest::{Capabilities, MAX_HANDLES, Secrets};

/// What every instance of a guest gets.
#[derive(Clone)]
pub struct Settings {
    /// What it may reach.
    pub capabilities: Capabilities,
    /// Bytes of memories and tables, summed.
    pub memory: usize,
    /// Guest time without an await.
    pub cpu_limit: Duration,
    /// Its way out to the cluster.
    pub messenger: Arc<dyn Messenger>,
    /// Its way to other hosts.
    pub outgoing: Arc<Outgoing>,
    /// Further environment variables.
    pub secrets: Secrets,
    /// May it write where its capabilities say so?
    pub writes: Writes,
}

/// Whether folders are writable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Where the capabilities say so.
    AsGranted,
    /// Nowhere: there is no more room for them.
    Never,
}

/// A store's data.
pub(super) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    pub(super) table: ResourceTable,
    outbound: Outbound,
    limiter: Limiter,
    pub(super) messenger: Arc<dyn Messenger>,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Makes a store that yields on every tick and traps past its CPU limit. `spin` is to be reset by
/// whoever drives the store, whenever it is polled.
///
/// # Errors
///
/// When a folder that the guest may see can't be opened.
pub(super) fn store(engine: &Engine, settings: &Settings, spin: Spin) -> anyhow::Result<Store<State>> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(MAX_HANDLES);
    let state = State {
        wasi: wasi::context(&settings.capabilities, &settings.secrets, settings.writes)?,
        http: WasiHttpCtx::new(),
        table,
        outbound: Outbound::new(&settings.outgoing),
        limiter: Limiter::new(settings.memory, Some(settings.messenger.clone())),
        messenger: settings.messenger.clone(),
    };
    let mut store = Store::new(&engine.wasmtime, state);
    store.set_max_component_handles(MAX_HANDLES);
    store.limiter(|state| &mut state.limiter);
    let (cpu_limit, messenger) = (settings.cpu_limit, settings.messenger.clone());
    store.epoch_deadline_callback(move |_| {
        if spin.tick() > cpu_limit {
            messenger.hit(Limit::Cpu);
            return Err(CpuLimit(cpu_limit).into());
        }
        // Tokio's own, since it lets timers and sockets have their turn before this guest's next; with
        // a plain wake-up they would come after 61 ticks.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store.set_epoch_deadline(1);
    Ok(store)
}

/// A guest computed for too long without an await. Traps it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the guest computed for more than {} without an await (`cpu-limit`)", humantime::format_duration(*.0))]
pub(super) struct CpuLimit(Duration);
