//! The input of a job that reads a block, or block after block.

use bytes::Bytes;
use protocol::codec::around_stdin;
use protocol::{CommandSpec, Encoding, EnvChange};
use serde_bytes::ByteBuf;

use super::lanes::Bell;
use super::window::Block;
use crate::run::source::command::Common;
use crate::run::source::item::{Fields, Item};
use crate::run::source::job::Wishes;
use crate::run::source::refusal::Refusal;
use crate::run::source::work::{self, Recipe, Refused, Ticket};

/// Makes a job of a block, which is not copied. A command's environment has these changes.
///
/// # Errors
/// When it is none.
pub(in crate::run::source) fn prepare_block(
    recipe: &Recipe,
    seq: u64,
    number: u64,
    block: Block,
    env: Vec<EnvChange>,
) -> Result<(Ticket, Bytes), Refused> {
    let size = block.bytes().len();
    let made =
        spec(recipe, seq, env).and_then(|spec| around_stdin(spec, size).map_err(|e| e.to_string()));
    let ticket = ticket(seq, number);
    match made {
        Ok((head, tail)) => {
            let input = block.between(&head, &tail);
            // A part of the input, which the pool keeps as well.
            let item = input.slice(head.len()..head.len() + size);
            let ticket = Ticket {
                item: recipe.keep_items.then_some(item),
                ..ticket
            };
            Ok(complete(ticket, input))
        }
        Err(e) => Err(refused(ticket, &e)),
    }
}

/// Makes a job that reads what is named so for as long as there is anything, and rings at its end.
///
/// # Errors
/// When it is none.
pub(in crate::run::source) fn prepare_lane(
    recipe: &Recipe,
    seq: u64,
    path: Vec<u8>,
    bell: Bell,
) -> Result<(Ticket, Bytes), Refused> {
    let wishes = Wishes {
        bell: Some(bell),
        ..Wishes::default()
    };
    let ticket = Ticket {
        wishes: Some(Box::new(wishes)),
        ..ticket(seq, seq)
    };
    let input = spec(recipe, seq, Vec::new()).and_then(|mut spec| {
        spec.stdin_path = Some(ByteBuf::from(path));
        Encoding::Bincode.encode(&spec).map_err(|e| e.to_string())
    });
    match input {
        Ok(input) => Ok(complete(ticket, input)),
        Err(e) => Err(refused(ticket, &e)),
    }
}

fn spec(recipe: &Recipe, seq: u64, env: Vec<EnvChange>) -> Result<CommandSpec, String> {
    let (program, slots) = work::program_without_item(recipe, seq);
    let common = Common { recipe, seq, env };
    let spec = common.spec(Item::new(b"", Fields::None), program)?;
    Ok(CommandSpec { slots, ..spec })
}

fn ticket(seq: u64, number: u64) -> Ticket {
    Ticket {
        seq,
        turn: seq,
        row: 0,
        line: number,
        item: None,
        id: None,
        wishes: None,
        size: 0,
        command: Bytes::new(),
    }
}

fn complete(mut ticket: Ticket, input: Bytes) -> (Ticket, Bytes) {
    ticket.size = input.len();
    ticket.command = input.clone();
    (ticket, input)
}

fn refused(ticket: Ticket, why: &str) -> Refused {
    let what = format!(
        "block {} of standard input is not a job: {why}",
        ticket.line
    );
    let refusal = Refusal {
        what,
        place: Vec::new(),
        tip: None,
    };
    Box::new((ticket, refusal))
}
