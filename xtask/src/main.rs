//! Tasks of the project: tests with all they need, benchmarks, generated files.
//!
//! Not here: what continuous integration runs around them (`.ci/run`).

mod bench;
mod generated;
mod load;
mod test;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what the tests need and run all of them.
    Test,
    /// Measure; without a name: everything.
    Bench(bench::Arguments),
    /// Write the generated files anew.
    Openapi,
    /// Fail where a generated file is not current.
    CheckGenerated,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Test => test::run(),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Openapi => generated::write(),
        Task::CheckGenerated => generated::check(),
    }
}
