//! The model: what must be true of a record, whatever the schedule was.

mod messages;
mod names;
mod views;

use super::record::Record;
use names::Names;

/// What is wrong although nothing happens any more. It may still become right while messages are under way.
pub fn unsettled(record: &Record) -> Vec<String> {
    let names = Names::new(record);
    let mut open = Vec::new();
    messages::unanswered(record, &mut open);
    messages::lost(record, &names, &mut open);
    views::unsettled(record, &mut open);
    open
}

/// What is wrong for good.
pub fn faults(record: &Record) -> Vec<String> {
    let names = Names::new(record);
    let mut faults = record.faults.clone();
    names.check(&mut faults);
    messages::check(record, &names, &mut faults);
    views::check(record, &names, &mut faults);
    faults
}
