//! What a guest's imports of `hatchery:cluster` do: they go to the process's [`Messenger`].
//!
//! Both versions have one body; they differ in how a question is waited for.

use std::time::Duration;

use wasmtime::component::{Accessor, HasSelf, Linker};

use super::{
    bindings::{v02, v03},
    store::State,
};
use crate::cluster::{AskTarget, Pid, Target};

macro_rules! common {
    ($version:ident) => {
        const _: () = {
            use $version::hatchery::cluster::{cluster, messenger, types};

            impl types::Host for State {}

            impl State {
                fn $version(
                    &mut self,
                    to: Target,
                    action: String,
                    data: Vec<u8>,
                ) -> wasmtime::Result<Result<(), messenger::Error>> {
                    Ok(self.messenger.send(to, action, data.into()).map_err(Into::into))
                }
            }

            impl messenger::Host for State {
                fn broadcast(
                    &mut self,
                    action: String,
                    data: Vec<u8>,
                ) -> wasmtime::Result<Result<(), messenger::Error>> {
                    self.$version(Target::Broadcast, action, data)
                }

                fn send_to_app(
                    &mut self,
                    action: String,
                    data: Vec<u8>,
                ) -> wasmtime::Result<Result<(), messenger::Error>> {
                    self.$version(Target::App, action, data)
                }

                fn send_to_agent(
                    &mut self,
                    action: String,
                    data: Vec<u8>,
                ) -> wasmtime::Result<Result<(), messenger::Error>> {
                    self.$version(Target::Agent, action, data)
                }

                fn send_random(
                    &mut self,
                    action: String,
                    data: Vec<u8>,
                ) -> wasmtime::Result<Result<(), messenger::Error>> {
                    self.$version(Target::Random, action, data)
                }

                fn send_to(
                    &mut self,
                    pid: u64,
                    action: String,
                    data: Vec<u8>,
                ) -> wasmtime::Result<Result<(), messenger::Error>> {
                    self.$version(Target::Pid(Pid(pid)), action, data)
                }
            }

            impl cluster::Host for State {
                fn self_(&mut self) -> wasmtime::Result<types::Process> {
                    Ok(self.messenger.this().into())
                }

                fn processes(&mut self) -> wasmtime::Result<Vec<types::Process>> {
                    Ok(self.messenger.processes().into_iter().map(Into::into).collect())
                }

                fn app(&mut self) -> wasmtime::Result<types::App> {
                    let (name, version) = self.messenger.app();
                    Ok(types::App { name, version })
                }
            }
        };
    };
}

common!(v02);
common!(v03);

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

/// Adds both versions' imports.
pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use v02::hatchery::cluster as two;
    use v03::hatchery::cluster as three;
    two::types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    two::messenger::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    two::requests::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    two::cluster::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    three::types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    three::messenger::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    three::requests::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    three::cluster::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    Ok(())
}
