//! The binary: commands, configuration, wiring, the demo nation.
//!
//! Flow: [`cli`] parses the command line → one module per command runs it → an [`Exit`] code.
//! Invariant: only this crate wires rooms together; client commands speak HTTP alone and never open a data folder.
//! Not here: use cases (`hub`), routes (`web`), engines (`store`).

mod cli;
mod client;
mod config;
mod demo;
mod ops;
mod output;
mod serve;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

// The bulk path frees on other threads than it allocates on; the system allocator contends there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How a command ended; the numbers are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Done,
    /// It could not be done, or `verify` found damage.
    Failed,
    /// It was done, but some or all lines were refused.
    Refused,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::FAILURE,
            Exit::Refused => Self::from(3),
        }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(exit) => exit.into(),
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Submit(arguments) => client::submit::run(&arguments),
        Command::Withdraw(arguments) => client::withdraw::run(&arguments),
        Command::Lookup(arguments) => client::lookup::run(&arguments),
        Command::Search(arguments) => client::search::run(&arguments),
        Command::Stream(arguments) => client::stream::run(&arguments),
        Command::Findings(arguments) => client::findings::run(&arguments),
        Command::Subscribe(command) => client::subscribe::run(&command),
        Command::Inbox(arguments) => client::inbox::run(&arguments),
        Command::Export(arguments) => client::export::run(&arguments),
        Command::Import(command) => client::import::run(&command),
        Command::Contacts(command) => client::contacts::run(&command),
        Command::Org(command) => client::members::organisations(&command),
        Command::Key(command) => client::members::keys(&command),
        Command::Network(command) => client::networks::run(&command),
        Command::Pull(arguments) => client::sources::pull(&arguments),
        Command::Sources(arguments) => client::sources::sources(&arguments),
        Command::Status(arguments) => client::status::run(&arguments),
        Command::Backup(arguments) => ops::backup(&arguments),
        Command::Restore(arguments) => ops::restore(&arguments),
        Command::Verify(arguments) => ops::verify(&arguments),
        Command::Rebuild(arguments) => ops::rebuild(&arguments),
        Command::Openapi => ops::openapi(),
    }
}
