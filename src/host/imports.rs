//! What a guest's imports of `hatchery:cluster` do: they go to the process's [`Messenger`].
//!
//! The two versions differ in how a question is waited for; the rest is the same functions under two names.

use std::time::Duration;

use wasmtime::{
    StoreContextMut,
    component::{Accessor, HasSelf, Linker, LinkerInstance, WasmList},
};

use super::{
    bindings::{v02, v03, words},
    store::State,
};
use crate::cluster::{AskTarget, Pid, Target};

/// Adds both versions' imports.
pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for version in ["0.2.0", "0.3.0"] {
        linker.instance(&format!("hatchery:cluster/types@{version}"))?;
        messenger(&mut linker.instance(&format!("hatchery:cluster/messenger@{version}"))?)?;
        cluster(&mut linker.instance(&format!("hatchery:cluster/cluster@{version}"))?)?;
    }
    v02::hatchery::cluster::requests::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    v03::hatchery::cluster::requests::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

fn messenger(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    for (name, to) in [
        ("broadcast", Target::Broadcast),
        ("send-to-app", Target::App),
        ("send-to-agent", Target::Agent),
        ("send-random", Target::Random),
    ] {
        instance.func_wrap(name, move |store, (action, data): (String, WasmList<u8>)| {
            Ok((send(&store, to, action, &data),))
        })?;
    }
    instance.func_wrap("send-to", |store, (pid, action, data): (u64, String, WasmList<u8>)| {
        Ok((send(&store, Target::Pid(Pid(pid)), action, &data),))
    })
}

/// From the guest's memory into the queue, without a copy between.
fn send(
    store: &StoreContextMut<'_, State>,
    to: Target,
    action: String,
    data: &WasmList<u8>,
) -> Result<(), words::SendError> {
    store.data().messenger.send(to, action, data.as_le_slice(store)).map_err(Into::into)
}

fn cluster(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap("self", |store, ()| Ok((words::Process::from(store.data().messenger.this()),)))?;
    instance.func_wrap("processes", |store, ()| {
        let all = store.data().messenger.processes();
        Ok((all.into_iter().map(words::Process::from).collect::<Vec<_>>(),))
    })?;
    instance.func_wrap("app", |store, ()| {
        let (name, version) = store.data().messenger.app();
        Ok((words::App { name, version },))
    })
}

impl v02::hatchery::cluster::requests::Host for State {
    async fn ask_agent(&mut self, action: String, data: Vec<u8>, timeout: u64) -> Asked02<Vec<u8>> {
        answer(self.messenger.ask(AskTarget::Agent, action, &data, Duration::from_nanos(timeout)).await)
    }

    async fn ask(&mut self, pid: u64, action: String, data: Vec<u8>, timeout: u64) -> Asked02<Vec<u8>> {
        let to = AskTarget::Pid(Pid(pid));
        answer(self.messenger.ask(to, action, &data, Duration::from_nanos(timeout)).await)
    }

    async fn ask_app(
        &mut self,
        action: String,
        data: Vec<u8>,
        timeout: u64,
    ) -> Asked02<Vec<v02::hatchery::cluster::requests::Answer>> {
        answers(self.messenger.ask_app(action, &data, Duration::from_nanos(timeout)).await)
    }
}

type Asked02<T> = Result<T, v02::hatchery::cluster::requests::AskError>;
type Asked03<T> = Result<T, v03::hatchery::cluster::requests::AskError>;

impl v03::hatchery::cluster::requests::Host for State {}

impl<T: Send> v03::hatchery::cluster::requests::HostWithStore<T> for HasSelf<State> {
    async fn ask_agent(
        accessor: &Accessor<T, Self>,
        action: String,
        data: Vec<u8>,
        timeout: u64,
    ) -> Asked03<Vec<u8>> {
        let asked = accessor.with(|mut access| {
            access.get().messenger.ask(AskTarget::Agent, action, &data, Duration::from_nanos(timeout))
        });
        answer(asked.await)
    }

    async fn ask(
        accessor: &Accessor<T, Self>,
        pid: u64,
        action: String,
        data: Vec<u8>,
        timeout: u64,
    ) -> Asked03<Vec<u8>> {
        let to = AskTarget::Pid(Pid(pid));
        let asked = accessor
            .with(|mut access| access.get().messenger.ask(to, action, &data, Duration::from_nanos(timeout)));
        answer(asked.await)
    }

    async fn ask_app(
        accessor: &Accessor<T, Self>,
        action: String,
        data: Vec<u8>,
        timeout: u64,
    ) -> Asked03<Vec<v03::hatchery::cluster::requests::Answer>> {
        let asked = accessor
            .with(|mut access| access.get().messenger.ask_app(action, &data, Duration::from_nanos(timeout)));
        answers(asked.await)
    }
}

fn answer<E: From<crate::cluster::AskError>>(
    asked: Result<bytes::Bytes, crate::cluster::AskError>,
) -> Result<Vec<u8>, E> {
    asked.map(Into::into).map_err(Into::into)
}

fn answers<A: From<super::Answer>, E: From<crate::cluster::AskError>>(
    asked: Result<Vec<super::Answer>, crate::cluster::AskError>,
) -> Result<Vec<A>, E> {
    asked.map(|answers| answers.into_iter().map(Into::into).collect()).map_err(Into::into)
}
