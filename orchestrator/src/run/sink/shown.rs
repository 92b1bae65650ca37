//! A command's end in another manner than as it is: with tags, with the command itself, or
//! kept elsewhere.

use std::io::{self, Write};

use protocol::WorkerId;

use super::command_line::{self, Setting};
use super::facts::{Facts, Times};
use super::grouped::{complaint, with_line};
use super::manner::{Keep, Table};
use super::place::Place;
use super::render::{Page, Renderer, Told};
use super::store::Kept;
use super::table::{self, Row};
use super::tag;
use crate::pool::{Capture, JobReport};
use crate::run::source::item::Item;
use crate::run::source::work::Ticket;
use crate::scheduler::Verdict;

/// Renders a job's end.
pub(super) fn render(
    renderer: &Renderer,
    ticket: &Ticket,
    report: JobReport,
    out: &mut Page,
) -> io::Result<Told> {
    let manner = &renderer.manner;
    let said = complaint(renderer, ticket, &report);
    let tag = renderer.tag(ticket, report.worker);
    let setting = renderer.setting(report.worker);
    if let Keep::Nowhere = manner.keep {
        let mut at_start = true;
        if manner.verbose {
            tag::write(out, &tag, &mut at_start, &command(ticket, setting))?;
        }
        let stdout = &report.stdout;
        stdout.for_each(|piece| tag::write(out, &tag, &mut at_start, piece))?;
        let err = tagged(renderer, &tag, report.stderr)?;
        return Ok(Told {
            err: with_line(renderer, err, said)?,
            ..Told::default()
        });
    }
    // It never began: there is nothing to keep.
    if report.attempts == 0 && matches!(report.verdict, Verdict::Cancelled | Verdict::Interrupted) {
        return Ok(Told {
            err: with_line(renderer, Capture::default(), said)?,
            ..Told::default()
        });
    }
    let line = manner.verbose.then(|| command(ticket, setting));
    // GNU parallel counts it, too.
    let counted = line.as_ref().filter(|_| renderer.terse);
    let received = report.stdout.len() + counted.map_or(0, |line| line.len() as u64);
    let facts = Facts::of(&report, renderer.times(), received);
    let (mut stdout, mut stderr) = (report.stdout, report.stderr);
    if let Some(line) = line {
        let mut page = renderer.page();
        page.write_all(&line)?;
        page.append(&stdout)?;
        stdout = page.take()?;
    }
    let item = renderer.item(ticket);
    let files = |place, stdout, stderr| Kept::Files {
        place,
        seq: ticket.seq,
        stdout,
        stderr,
    };
    let kept = match &manner.keep {
        Keep::Nowhere => None,
        Keep::Files(_) => {
            // They have a file for one of the streams only; the other one is not lost.
            let err = tagged(renderer, &tag, std::mem::take(&mut stderr))?;
            let kept = Kept::File {
                seq: ticket.seq,
                tag,
                stdout,
            };
            return Ok(Told {
                err: with_line(renderer, err, said)?,
                kept: Some(Box::new(kept)),
                ..Told::default()
            });
        }
        Keep::Tree(root, again) => {
            let place = Place::in_tree((root, *again), item, &renderer.names, ticket.seq);
            Some(files(place, stdout, stderr))
        }
        Keep::Named(label) => Some(files(
            Place::named(label.fill(item, ticket.seq, setting.slot)),
            stdout,
            stderr,
        )),
        Keep::Table(table) => {
            // As in GNU parallel; of `run`, a table holds what jobs have printed.
            if renderer.terse {
                stdout = tagged(renderer, &tag, stdout)?;
                stderr = tagged(renderer, &tag, stderr)?;
            }
            let row = Row {
                ticket,
                item,
                facts,
                setting,
                stdout: &stdout,
                stderr: &stderr,
            };
            row_of(renderer, table, &row, out)?
        }
    };
    Ok(Told {
        err: with_line(renderer, Capture::default(), said)?,
        kept: kept.map(Box::new),
        ..Told::default()
    })
}

/// The first line of a verbose job.
pub(crate) fn command(ticket: &Ticket, setting: Setting) -> Vec<u8> {
    let mut line = command_line::of(&ticket.command, setting).line;
    line.push(b'\n');
    line
}

/// A row that is shown, or kept.
fn row_of(
    renderer: &Renderer,
    table: &Table,
    row: &Row<'_>,
    out: &mut Page,
) -> io::Result<Option<Kept>> {
    let header = renderer
        .columns
        .header(table.form, row.item, &renderer.names);
    if table.file.is_none() {
        out.write_all(&header)?;
        table::write(out, table.form, &renderer.columns, row)?;
        return Ok(None);
    }
    let mut page = renderer.page();
    page.write_all(&header)?;
    table::write(&mut page, table.form, &renderer.columns, row)?;
    Ok(Some(Kept::Row(page.take()?)))
}

/// The same with a tag in front of each line.
fn tagged(renderer: &Renderer, tag: &[u8], capture: Capture) -> io::Result<Capture> {
    if tag.is_empty() || capture.is_empty() {
        return Ok(capture);
    }
    let (mut page, mut at_start) = (renderer.page(), true);
    capture.for_each(|piece| tag::write(&mut page, tag, &mut at_start, piece))?;
    page.take()
}

/// What stands at the top of the table: with the first job that ends, whenever its turn is.
pub(crate) fn header(renderer: &Renderer, ticket: &Ticket) -> io::Result<Option<Told>> {
    let Keep::Table(table) = &renderer.manner.keep else {
        return Ok(None);
    };
    let header = renderer
        .columns
        .header(table.form, renderer.item(ticket), &renderer.names);
    if header.is_empty() {
        return Ok(None);
    }
    let header = Capture::of(&renderer.room, &header)?;
    Ok(Some(match table.file {
        None => Told {
            printed: header,
            ..Told::default()
        },
        Some(_) => Told {
            kept: Some(Box::new(Kept::Row(header))),
            ..Told::default()
        },
    }))
}

impl Renderer {
    /// What stands in front of this job's lines, which this worker runs; mostly nothing.
    pub(crate) fn tag(&self, ticket: &Ticket, worker: Option<WorkerId>) -> Vec<u8> {
        let tag = self.manner.tag.as_ref();
        let slot = self.setting(worker).slot;
        tag.map(|tag| tag.of(self.item(ticket), ticket.seq, slot))
            .unwrap_or_default()
    }

    /// The item that a job was made of, as far as it is kept.
    pub(super) fn item<'a>(&self, ticket: &'a Ticket) -> Item<'a> {
        Item::new(ticket.item.as_deref().unwrap_or_default(), self.fields)
    }

    /// Where this worker runs commands.
    pub(crate) fn setting(&self, worker: Option<WorkerId>) -> Setting {
        let slots = self.slots.as_ref();
        Setting {
            slot: slots.and_then(|slots| slots.of(worker?)),
            shell: self.shell,
            typed: self.typed,
        }
    }

    /// A worker sits in this slot.
    pub(crate) fn sits(&mut self, worker: WorkerId, slot: u32) {
        if let Some(slots) = &mut self.slots {
            slots.sits(worker, slot);
        }
    }

    /// A worker has ended; what its jobs came to may follow.
    pub(crate) fn stands_up(&mut self, worker: WorkerId) {
        if let Some(slots) = &mut self.slots {
            slots.stands_up(worker);
        }
    }

    /// How to know when an attempt was that is over now.
    pub(crate) fn times(&self) -> Times {
        Times {
            zero: self.started,
            now: crate::run::report::calendar(),
        }
    }
}
