//! The wasmtime engine, with one set of settings for the compiler and for those who run its code.
//!
//! Settings here are part of the native code's identity: code compiled with others does not load.

use std::time::Duration;

use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::clock::Clock;

/// The stack that a guest may use, in bytes. Past it, it traps.
const WASM_STACK: usize = 512 * 1024;

/// The stack that wasmtime gives to each guest call that may wait, in bytes.
const ASYNC_STACK: usize = 1024 * 1024;

/// How often a running guest is interrupted, so that the process's loop turns.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// What an engine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Only compiles; runs nothing.
    Compile,
    /// Runs one long-lived instance; can't compile.
    Resident,
    /// Runs a fresh instance for each request, from a pool; can't compile.
    Pool {
        /// The most instances at once.
        instances: u32,
        /// The most bytes of one linear memory.
        memory: usize,
    },
}

/// Bytes of private memory that a pool for so many instances reserves at once and uses bit by bit, where
/// the system's pages have this size. The kernel counts them as taken (`RLIMIT_DATA`). These are stacks
/// and tables; linear memories count as guests grow them.
#[must_use]
pub fn pool_reserve(instances: u32, page: usize) -> u64 {
    // Each stack has a guard page.
    let stacks = STACKS as usize * (ASYNC_STACK + page);
    let tables = TABLES as usize * (TABLE_ELEMENTS * size_of::<usize>()).next_multiple_of(page);
    u64::from(instances) * (stacks + tables) as u64
}

/// An engine and its clock.
#[derive(Clone)]
pub struct Engine {
    pub(super) wasmtime: wasmtime::Engine,
    pub(super) clock: Clock,
}

impl Engine {
    /// # Errors
    ///
    /// When this machine can't run wasmtime, or has no room for the pool.
    pub fn new(purpose: Purpose) -> anyhow::Result<Self> {
        let mut config = Config::new();
        config
            .wasm_component_model_async(true)
            .epoch_interruption(true)
            .max_wasm_stack(WASM_STACK)
            .async_stack_size(ASYNC_STACK)
            .enable_compiler(purpose == Purpose::Compile);
        if let Purpose::Pool { instances, memory } = purpose {
            let mut pool = PoolingAllocationConfig::new();
            pool.total_component_instances(instances)
                .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
                .total_memories(instances.saturating_mul(MEMORIES))
                .total_tables(instances.saturating_mul(TABLES))
                .total_stacks(instances.saturating_mul(STACKS))
                .max_core_instances_per_component(CORE_INSTANCES)
                .max_memories_per_component(MEMORIES)
                .max_tables_per_component(TABLES)
                .table_elements(TABLE_ELEMENTS)
                .max_component_instance_size(INSTANCE_SIZE)
                .max_core_instance_size(INSTANCE_SIZE)
                .max_memory_size(memory)
                .linear_memory_keep_resident(KEEP_RESIDENT);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        let wasmtime = wasmtime::Engine::new(&config)?;
        let clock = Clock::start(&wasmtime, TICK);
        Ok(Self { wasmtime, clock })
    }

    /// The inner engine, for whoever deserializes native code.
    #[must_use]
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }
}

// What one pooled instance may be made of. Components from componentize-py, the largest known, have
// 14 core instances, 1 memory and 12 tables.
const CORE_INSTANCES: u32 = 40;
const MEMORIES: u32 = 2;
const TABLES: u32 = 20;
const STACKS: u32 = 2;
const TABLE_ELEMENTS: usize = 20_000;
const INSTANCE_SIZE: usize = 1 << 20;
/// Bytes of a linear memory that are cleared rather than given back between two instances.
const KEEP_RESIDENT: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{limits::page, usage::data};

    #[test]
    fn a_pool_reserves_what_is_said() {
        const INSTANCES: u32 = 1000;
        // Other tests take and give memory meanwhile.
        const SLACK: u64 = 1 << 30;
        let before = data().unwrap();
        let engine = Engine::new(Purpose::Pool { instances: INSTANCES, memory: 1 << 20 }).unwrap();
        let took = data().unwrap().saturating_sub(before);
        let said = pool_reserve(INSTANCES, page());
        assert!(took.abs_diff(said) < SLACK, "took {took}, said {said}");
        drop(engine);
    }
}
