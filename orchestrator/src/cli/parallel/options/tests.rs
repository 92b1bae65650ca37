use std::collections::HashSet;

use clap::CommandFactory;

use super::super::super::args::Cli;
use super::Means::{Count, Each, Idle, Own, Refused, Same};
use super::Takes::Nothing;
use super::*;

/// The argument of `run` with this name.
fn argument<'a>(run: &'a clap::Command, name: &str) -> Option<&'a clap::Arg> {
    let bare = name.trim_start_matches('-');
    run.get_arguments().find(|arg| {
        let long = arg.get_long_and_visible_aliases().unwrap_or_default();
        let short = arg.get_short_and_visible_aliases().unwrap_or_default();
        match name.starts_with("--") {
            true => long.contains(&bare),
            false => short.iter().any(|short| bare.starts_with(*short)),
        }
    })
}

#[test]
fn each_name_is_there_once() {
    let mut seen = HashSet::new();
    for name in all().flat_map(|option| option.names) {
        assert!(seen.insert(name), "{name}");
        assert!(!name.starts_with('-') && name.is_ascii(), "{name}");
    }
}

#[test]
fn what_is_handed_on_exists_and_takes_as_much() {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    for option in all() {
        let (Same(target) | Each(target) | Count(target)) = option.means else {
            continue;
        };
        let arg = argument(run, target).expect(target);
        let least = arg.get_num_args().map_or(1, |range| range.min_values());
        let takes = arg.get_action().takes_values() && least > 0;
        assert_eq!(takes, option.takes != Nothing, "{target}");
    }
}

#[test]
fn what_is_refused_says_in_a_line_what_to_do() {
    for option in all() {
        if let Refused(hint) | Idle(hint) = option.means {
            assert!(hint.len() > 10 && !hint.contains('\n'), "{hint}");
        }
    }
}

#[test]
fn run_says_what_to_write_for_each_option_that_only_gnu_parallel_has() {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    for option in all().filter(|option| option.means != Own(Kind::Help)) {
        for name in option.names {
            let dashes = if name.len() == 1 { "-" } else { "--" };
            let name = format!("{dashes}{name}");
            if argument(run, &name).is_none() {
                let advice = in_run(&name).expect(&name);
                assert!(!advice.contains('\n'), "{advice}");
            }
        }
    }
    assert_eq!(in_run("--nonsense"), None);
    assert_eq!(
        in_run("--retry-failed").unwrap(),
        "`orchestrator retry last` runs again what has failed"
    );
}

/// The rows of a table: options with the same reason stand together.
fn rows(reason: impl Fn(Means) -> Option<&'static str>) -> String {
    let mut rows: Vec<(&str, Vec<String>)> = Vec::new();
    for option in all() {
        let Some(why) = reason(option.means) else {
            continue;
        };
        let name = format!("`{}`", option.shown().replace(", ", "` `"));
        match rows.iter_mut().find(|(other, _)| *other == why) {
            Some((_, names)) => names.push(name),
            None => rows.push((why, vec![name])),
        }
    }
    let row = |(why, names): &(&str, Vec<String>)| {
        format!("| {} | {} |\n", names.join(" "), why.replace('|', "\\|"))
    };
    rows.iter().map(row).collect()
}

#[test]
fn the_page_lists_what_is_not_offered() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/parallel.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut expected = page.clone();
    let idle = rows(|means| match means {
        Idle(why) => Some(why),
        _ => None,
    });
    let refused = rows(|means| match means {
        Refused(instead) => Some(instead),
        _ => None,
    });
    for (mark, head, rows) in [
        ("idle", "| option | why |", idle),
        ("refused", "| option | instead |", refused),
    ] {
        let begin = expected.find(&format!("<!-- {mark}: ")).unwrap();
        let begin = begin + expected[begin..].find("-->\n").unwrap() + 4;
        let end = begin + expected[begin..].find("<!-- end -->").unwrap();
        expected.replace_range(begin..end, &format!("{head}\n| --- | --- |\n{rows}"));
    }
    if page != expected && std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
        return;
    }
    assert!(
        page == expected,
        "docs/parallel.md: run this test with WRITE_DOCS=1"
    );
}
