//! gpu-ctk's command line: what a person types and reads.
//!
//! Parses with clap, prints, and decides nothing: every answer comes from the modules that gpu-runc itself uses.

mod cdi;
mod compose;
mod config;
mod doctor;
mod explain;
mod generate;
mod identify;
mod list;
mod named;
mod naming;
mod node;
mod output;
mod patch;
mod ps;
mod runtime;
mod system;
mod vendors;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nix::errno::Errno;
use nix::sys::stat::{SFlag, stat};

use crate::config::Config;
use crate::error::{Error, Escaped, Result};

/// Sees GPUs and CDI devices as gpu-runc sees them, and explains what it would do.
#[derive(Debug, Parser)]
#[command(name = "gpu-ctk", version, arg_required_else_help = true, propagate_version = true)]
#[command(after_help = "The configuration is /etc/gpu-runc/config.toml, or the file that GPU_RUNC_CONFIG names.\n\
                        Exit status: 0 done, 1 something is wrong, 2 the command line is. Commands that report print what is wrong,\n\
                        all others say it on stderr.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List, check and resolve CDI devices
    #[command(subcommand)]
    Cdi(CdiCommand),
    /// List the devices of this machine, of every vendor
    List(list::List),
    /// Show which container holds which GPU
    Ps(ps::Ps),
    /// Tell engines of gpu-runc
    #[command(subcommand)]
    Runtime(RuntimeCommand),
    /// Install gpu-runc on a machine that runs pods, and take it away
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Make device nodes, and the links to them that systemd needs
    #[command(subcommand)]
    System(system::System),
    /// Show what a container asks for, who may ask, what it gets, and what changes in its config.json
    Explain(explain::Explain),
    /// Make compose files that reserve GPUs work with gpu-runc, on nerdctl, Docker Compose and podman-compose
    Compose(compose::Compose),
    /// Print, check and import the configuration file
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Say what is wrong with this machine, and the command that mends it
    Doctor(doctor::Doctor),
}

#[derive(Debug, Subcommand)]
enum CdiCommand {
    /// List the devices that containers can ask for by name
    List {
        /// Show also the file and the CDI version of each device
        #[arg(short, long)]
        verbose: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        dirs: SpecDirs,
    },
    /// Describe this machine's devices in a CDI file, without any vendor's tool
    Generate(generate::Generate),
    /// Check CDI files and say everything that is wrong with them
    Validate {
        /// The files; without any, those of the spec directories, and also whether they are true of this machine
        #[arg(conflicts_with = "spec_dirs")]
        files: Vec<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        dirs: SpecDirs,
    },
    /// Print the container edits that devices come to, as JSON
    Resolve {
        /// Qualified names, such as nvidia.com/gpu=0
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        dirs: SpecDirs,
    },
}

#[derive(Debug, Subcommand)]
enum RuntimeCommand {
    /// Register gpu-runc with an engine, or take it out again
    Configure(runtime::Configure),
}

#[derive(Debug, clap::Args)]
struct SpecDirs {
    /// Look here for CDI files instead of in the configured directories; the last one counts most
    #[arg(long = "spec-dir", value_name = "DIR")]
    spec_dirs: Vec<PathBuf>,
}

/// Runs gpu-ctk with these arguments, program name first.
pub fn main(argv: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(argv) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout, errors to stderr: clap knows.
            let code = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            return reported(output::or_gone(error.print()).map(|()| code));
        }
    };
    reported(run(cli.command))
}

fn reported(done: Result<ExitCode>) -> ExitCode {
    match done {
        Ok(code) => code,
        Err(error) => {
            output::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let config = Config::load(&Config::path());
    match command {
        Command::Cdi(CdiCommand::Generate(generate)) => generate.run(&config?),
        Command::Cdi(CdiCommand::List { verbose, json, dirs }) => cdi::list(&dirs.in_place(config?)?, verbose, json),
        Command::Cdi(CdiCommand::Validate { files, json, dirs }) => {
            cdi::validate(&dirs.in_place(config?)?, &files, json)
        }
        Command::Cdi(CdiCommand::Resolve { names, dirs }) => cdi::resolve(&dirs.in_place(config?)?, &names),
        Command::List(list) => list.run(&config?),
        Command::Ps(ps) => ps.run(&config?),
        Command::Runtime(RuntimeCommand::Configure(configure)) => configure.run(config),
        Command::Node(node) => node.run(),
        Command::System(system) => system.run(config?),
        Command::Explain(explain) => explain.run(&config?),
        Command::Compose(compose) => compose.run(&config?),
        Command::Config(command) => command.run(),
        // Which is asked, too, about a configuration that cannot be used.
        Command::Doctor(doctor) => doctor.run(config),
    }
}

impl SpecDirs {
    /// `config` with these directories, if any are named. Those of the configuration may be absent, one that is named may not.
    fn in_place(self, mut config: Config) -> Result<Config> {
        if let Some(absent) = self.spec_dirs.iter().find(|dir| stat(*dir) == Err(Errno::ENOENT)) {
            return Err(Error::Usage(format!("--spec-dir {}: not found", Escaped::path(absent))));
        }
        if !self.spec_dirs.is_empty() {
            config.cdi.spec_dirs = self.spec_dirs;
        }
        Ok(config)
    }
}

/// What is at `path`, links followed; `None` for nothing that can be looked at.
fn kind_at(path: &Path) -> Option<SFlag> {
    stat(path).ok().map(|found| SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()))
}
