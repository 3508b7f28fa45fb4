//! stub
use crate::{ipc::compile::*, manifest::App};
pub struct Options { pub apps: Vec<App>, pub home: std::path::PathBuf, pub child_args: Vec<String> }
pub async fn run(_: Options) -> anyhow::Result<()> { anyhow::bail!("stub") }
pub struct Compiled { pub report: Report }
pub async fn compile(_: &CompileRequest, _: &[String]) -> anyhow::Result<Compiled> { anyhow::bail!("stub") }
