//! Query options: `$select`, `$filter`, `$top`, `$skip`, `$count`, `$orderby`, `$expand`, `$search`, `$skiptoken`.

use crate::{Edm, Filter, GraphError, Operation};

/// The options of a request, checked against the operation and its type.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Properties asked for, in the model's spelling; none: the default set. `*` is all.
    pub select: Option<Vec<String>>,
    /// Condition.
    pub filter: Option<Filter>,
    /// Page size asked for; at least 1.
    pub top: Option<usize>,
    /// Rows to leave out at the start.
    pub skip: Option<usize>,
    /// Whether `@odata.count` is wanted.
    pub count: bool,
    /// Properties to sort by; true is descending.
    pub orderby: Vec<(String, bool)>,
    /// Where the previous page ended.
    pub skiptoken: Option<String>,
    /// The raw filter text, to be bound into links.
    pub filter_text: Option<String>,
}

impl Options {
    /// Reads the raw query of a request. Arguments of functions and parameter aliases are not options and are passed over.
    ///
    /// # Errors
    /// 400 naming the option: unknown, given twice, unreadable, not offered by this operation, or naming a property that the type lacks.
    pub fn parse(_edm: &'static Edm, _operation: &Operation, _query: &str) -> Result<Self, GraphError> {
        unimplemented!()
    }
}
