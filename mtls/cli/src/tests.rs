use clap::CommandFactory;

use super::*;

#[test]
fn every_argument_is_well_formed_and_described() {
    let mut command = Cli::command();
    command.build();
    check(&command);
    command.debug_assert();
}

fn check(command: &clap::Command) {
    for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
        assert!(sub.get_about().is_some(), "{}", sub.get_name());
        for arg in sub.get_arguments() {
            let name = format!("{} {}", sub.get_name(), arg.get_id());
            assert!(arg.get_help().is_some(), "{name}");
        }
        check(sub);
    }
}
