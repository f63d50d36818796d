//! Control information: what `odata.metadata` of `Accept` or `$format` asks for beside the data.
//!
//! Responses are written with minimal control information. [`MetadataLevel::rewrite`] removes it
//! for `none`, and adds for `full` what a client cannot know without the model: types, addresses
//! and links (OData JSON Format 4.0, sections 3.1 and 4.5).

use std::collections::HashMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::edm::{Property, ResponseShape, Type, TypeKind};
use crate::options::{is_option, pairs};
use crate::resolve::decode;
use crate::{Edm, GraphError, Method, Operation, OperationKind, ResolvedTarget};

/// Name in an object for its key, where `$select` leaves it out: [`MetadataLevel::rewrite`] makes
/// the object's address of it and removes it.
pub const UNSELECTED_KEY: &str = "@odata.unselectedKey";

const CONTEXT: &str = "@odata.context";
const TYPE: &str = "@odata.type";
const ID: &str = "@odata.id";
const EDIT_LINK: &str = "@odata.editLink";

/// Control information that even `none` keeps, because clients cannot read on without it.
const KEPT: [&str; 3] = ["odata.nextLink", "odata.count", "odata.deltaLink"];

/// Characters of a key that stand for themselves in a URL.
const KEY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'\'');

/// How much control information a response has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetadataLevel {
    /// Counts and links to more data only.
    None,
    /// What a client cannot derive from the model.
    #[default]
    Minimal,
    /// All types, addresses and links.
    Full,
}

impl MetadataLevel {
    /// Returns the level that a request asks for. `$format` overrides `Accept`, of which the
    /// preferred range that means JSON counts; a request without one gets JSON all the same.
    ///
    /// # Errors
    /// 406 if every range for JSON asks for a level that does not exist.
    pub fn of<'a>(accept: impl Iterator<Item = &'a str>, query: &str) -> Result<Self, GraphError> {
        let format = pairs(query).find(|(name, _)| is_option(name, "format")).map(|(_, value)| value);
        if let Some(format) = format {
            // `QueryOptions` checks the media type itself.
            let spaced = format.replace('+', " ");
            let format = decode(&spaced, "value of a query option")?;
            return Self::parameter(&format).map(Option::unwrap_or_default).map_err(|unknown| not_acceptable(&unknown));
        }
        let ranges = accept.flat_map(|text| text.split(',')).filter(|range| means_json(range));
        let (mut best, mut refused) = (None, None);
        for range in ranges {
            let quality = quality(range);
            match Self::parameter(range) {
                Err(unknown) => refused = Some(unknown),
                Ok(_) if quality <= 0.0 => {}
                Ok(level) => {
                    if best.is_none_or(|(best, _)| quality > best) {
                        best = Some((quality, level.unwrap_or_default()));
                    }
                }
            }
        }
        match (best, refused) {
            (Some((_, level)), _) => Ok(level),
            (None, Some(unknown)) => Err(not_acceptable(&unknown)),
            (None, None) => Ok(Self::default()),
        }
    }

    /// Returns the value of the parameter `odata.metadata`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Full => "full",
        }
    }

    /// Returns the level that a media range names, or the value that is not one.
    fn parameter(range: &str) -> Result<Option<Self>, String> {
        let mut parameters = range.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
        let is_level =
            |name: &str| ["odata.metadata", "metadata"].iter().any(|known| name.trim().eq_ignore_ascii_case(known));
        let Some((_, value)) = parameters.find(|(name, _)| is_level(name)) else { return Ok(None) };
        let value = value.trim().trim_matches('"');
        let levels = [Self::None, Self::Minimal, Self::Full];
        let found = levels.into_iter().find(|level| level.name().eq_ignore_ascii_case(value));
        found.map(Some).ok_or_else(|| value.to_owned())
    }

    /// Rewrites the JSON of a response that was written with minimal control information. `root` is
    /// the absolute URL of the service root; `is_served` says whether the service has an operation
    /// of the contract.
    pub fn rewrite(
        self,
        edm: &'static Edm,
        target: &ResolvedTarget,
        (root, is_served): (&str, fn(&Operation) -> bool),
        body: &[u8],
    ) -> Option<Vec<u8>> {
        if self == Self::Minimal || target.operation.response == ResponseShape::Stream {
            return None;
        }
        let body = serde_json::from_slice(body).ok()?;
        let rewritten = match self {
            Self::Minimal => return None,
            Self::None => Node::Plain(without_control_information(body)),
            Self::Full => Annotator { edm, root, is_served, links: HashMap::new() }.response(target, body),
        };
        Some(serde_json::to_vec(&rewritten).expect("JSON becomes JSON"))
    }
}

fn not_acceptable(value: &str) -> GraphError {
    let message = format!("odata.metadata={value:.64} does not exist. Accept none, minimal or full.");
    GraphError::new(406, "NotAcceptable", message)
}

fn means_json(range: &str) -> bool {
    let media = range.split(';').next().unwrap_or_default().trim();
    ["application/json", "application/*", "*/*"].iter().any(|known| media.eq_ignore_ascii_case(known))
}

/// Returns the weight of a media range, 1 unless it has one.
fn quality(range: &str) -> f32 {
    let parameters = range.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let weight = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("q")).map(|(_, value)| value);
    weight.last().and_then(|value| value.trim().parse().ok()).unwrap_or(1.0)
}

/// Removes control information of OData, but no annotations of others.
fn without_control_information(value: Value) -> Value {
    match value {
        Value::Array(elements) => elements.into_iter().map(without_control_information).collect(),
        Value::Object(members) => {
            let is_kept = |name: &str| match name.split_once('@') {
                Some((_, term)) => !term.starts_with("odata.") || KEPT.contains(&term),
                None => true,
            };
            let kept = members.into_iter().filter(|(name, _)| is_kept(name));
            Value::Object(kept.map(|(name, value)| (name, without_control_information(value))).collect())
        }
        other => other,
    }
}

/// JSON whose members have an order: an annotation precedes the property that it is about.
enum Node {
    Plain(Value),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::Array(elements) => serializer.collect_seq(elements),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// What a path below the root can be used for.
#[derive(Clone, Default)]
struct EntityLinks {
    is_readable: bool,
    is_editable: bool,
    /// Navigation properties that have a path.
    navigations: Vec<String>,
}

/// Adds control information from the model.
struct Annotator<'a> {
    edm: &'static Edm,
    root: &'a str,
    is_served: fn(&Operation) -> bool,
    /// Links of the entities of a type in a collection: the same for all of them.
    links: HashMap<(String, String), EntityLinks>,
}

/// Where entities are: below the root, in URL form.
#[derive(Clone)]
enum Place {
    /// Members of the collection at this path.
    Within(String),
    /// One entity at this path.
    At(String),
    /// Nowhere that is known: values without an address.
    Nowhere,
}

impl Annotator<'_> {
    fn response(&mut self, target: &ResolvedTarget, body: Value) -> Node {
        let Value::Object(mut members) = body else { return Node::Plain(body) };
        match &target.operation.response {
            ResponseShape::Entity(of) => {
                let place = self.place(target, of);
                self.object(of, members, &place)
            }
            ResponseShape::Complex(of) => self.object(of, members, &Place::Nowhere),
            ResponseShape::Collection(of) => {
                let place = self.place(target, of);
                let value = members.remove("value");
                let mut out: Vec<_> = members.into_iter().map(|(name, value)| (name, Node::Plain(value))).collect();
                if !self.is_entity(of) {
                    out.push(("value@odata.type".into(), Node::Plain(self.collection_type(of).into())));
                }
                out.extend(value.map(|value| ("value".to_owned(), self.elements(of, value, &place))));
                Node::Object(out)
            }
            ResponseShape::Primitive(of) => {
                let value = members.remove("value");
                let mut out: Vec<_> = members.into_iter().map(|(name, value)| (name, Node::Plain(value))).collect();
                if let (Some(Value::String(_) | Value::Number(_)), Some(of)) = (&value, self.named_type(of)) {
                    out.push(("value@odata.type".into(), Node::Plain(of.into())));
                }
                out.extend(value.map(|value| ("value".to_owned(), Node::Plain(value))));
                Node::Object(out)
            }
            ResponseShape::None | ResponseShape::Stream => Node::Plain(Value::Object(members)),
        }
    }

    /// Returns where the entities of a response are.
    fn place(&self, target: &ResolvedTarget, of: &str) -> Place {
        let path = path_in_url(&target.canonical_path);
        match target.operation.kind {
            OperationKind::List | OperationKind::Create => Place::Within(path),
            OperationKind::Get | OperationKind::Update => Place::At(path),
            _ => self.home(of),
        }
    }

    /// Returns the collection at which entities of a type have their address, whatever returned
    /// them.
    fn home(&self, of: &str) -> Place {
        let lists = self.edm.operations.iter().filter(|list| list.kind == OperationKind::List && !list.extension);
        let of_type = lists.filter(|list| list.item_type.as_deref().is_some_and(|item| self.edm.is_a(of, item)));
        let paths = of_type.map(|list| list.path.trim_start_matches('/')).filter(|path| !path.contains('{'));
        paths.min_by_key(|path| path.len()).map_or(Place::Nowhere, |path| Place::Within(path.to_owned()))
    }

    fn elements(&mut self, of: &str, value: Value, place: &Place) -> Node {
        match value {
            Value::Array(elements) => {
                Node::Array(elements.into_iter().map(|element| self.elements(of, element, place)).collect())
            }
            Value::Object(members) => self.object(of, members, place),
            other => Node::Plain(other),
        }
    }

    fn object(&mut self, of: &str, mut members: Map<String, Value>, place: &Place) -> Node {
        let derived = members.remove(TYPE).and_then(|value| Some(value.as_str()?.rsplit_once('.')?.1.to_owned()));
        let unselected_key = members.remove(UNSELECTED_KEY);
        let edm = self.edm;
        let actual = derived.as_deref().unwrap_or(of);
        let mut out = Vec::with_capacity(2 * members.len() + 4);
        if let Some(context) = members.remove(CONTEXT) {
            out.push((CONTEXT.to_owned(), Node::Plain(context)));
        }
        let Some(declared) = edm.type_named(actual) else {
            out.extend(members.into_iter().map(|(name, value)| (name, Node::Plain(value))));
            return Node::Object(out);
        };
        out.push((
            TYPE.to_owned(),
            Node::Plain(format!("#{}", edm.qualified(edm.sole_derived(actual).unwrap_or(actual))).into()),
        ));
        let key = members.get("id").or(unselected_key.as_ref()).and_then(Value::as_str);
        let addressed = self.address(declared, key, place);
        if let Some((address, links)) = &addressed {
            let url = format!("{}/{address}", self.root);
            out.push((ID.to_owned(), Node::Plain(url.clone().into())));
            if links.is_editable {
                out.push((EDIT_LINK.to_owned(), Node::Plain(url.into())));
            }
        }
        let address = addressed.as_ref().map(|(address, _)| address.as_str());
        for (name, value) in members {
            let property = declared.property(&name);
            self.member(&mut out, property, name, value, address);
        }
        if let Some((address, links)) = addressed {
            for name in links.navigations {
                let url = format!("{}/{address}/{name}", self.root);
                out.push((format!("{name}@odata.navigationLink"), Node::Plain(url.into())));
            }
        }
        Node::Object(out)
    }

    /// Returns the address of an entity and what is there: that in the answered collection, or else
    /// that in the collection of its type.
    fn address(&mut self, declared: &Type, key: Option<&str>, place: &Place) -> Option<(String, EntityLinks)> {
        if declared.kind == TypeKind::Complex {
            return None;
        }
        for place in [place.clone(), self.home(&declared.name)] {
            let address = match (&place, key) {
                (Place::At(path), _) => path.clone(),
                (Place::Within(collection), Some(key)) => {
                    format!("{collection}('{}')", utf8_percent_encode(&key.replace('\'', "''"), KEY))
                }
                (Place::Within(_), None) | (Place::Nowhere, _) => continue,
            };
            let links = self.links(declared, &address, &place);
            if links.is_readable {
                return Some((address, links));
            }
        }
        None
    }

    fn member(
        &mut self,
        out: &mut Vec<(String, Node)>,
        property: Option<&Property>,
        name: String,
        value: Value,
        address: Option<&str>,
    ) {
        let Some(Property { type_ref, .. }) = property else { return out.push((name, Node::Plain(value))) };
        if type_ref.navigation {
            let place = address.map_or(Place::Nowhere, |address| match type_ref.collection {
                true => Place::Within(format!("{address}/{name}")),
                false => Place::At(format!("{address}/{name}")),
            });
            return out.push((name, self.elements(&type_ref.name, value, &place)));
        }
        let of = match &value {
            Value::Null => None,
            _ if type_ref.collection => Some(self.collection_type(&type_ref.name)),
            _ => self.named_type(&type_ref.name),
        };
        if let Some(of) = of {
            out.push((format!("{name}@odata.type"), Node::Plain(of.into())));
        }
        out.push((name, self.elements(&type_ref.name, value, &Place::Nowhere)));
    }

    fn is_entity(&self, of: &str) -> bool {
        self.edm.type_named(of).is_some_and(|declared| declared.kind == TypeKind::Entity)
    }

    /// Returns the annotation of a value whose type its JSON does not tell. Objects name their type
    /// inside.
    fn named_type(&self, of: &str) -> Option<String> {
        match of {
            "Edm.String" | "Edm.Boolean" | "Edm.Double" | "Edm.Untyped" => None,
            _ if self.edm.type_named(of).is_some() => None,
            _ => Some(format!("#{}", self.short(of))),
        }
    }

    fn collection_type(&self, of: &str) -> String {
        format!("#Collection({})", self.short(of))
    }

    /// Returns a type's name as annotations have it: primitive types without their namespace.
    fn short(&self, of: &str) -> String {
        of.strip_prefix("Edm.").map_or_else(|| self.edm.qualified(of), str::to_owned)
    }

    fn links(&mut self, declared: &Type, address: &str, place: &Place) -> EntityLinks {
        let edm = self.edm;
        let find = || {
            let path = format!("/{address}");
            let is_served = self.is_served;
            let resolves =
                |method, path: &str| edm.resolve(method, path, "").is_ok_and(|target| is_served(target.operation));
            let navigations = declared.properties.iter().filter(|own| own.type_ref.navigation);
            let navigations = navigations.map(|own| own.name.clone());
            EntityLinks {
                is_readable: resolves(Method::Get, &path),
                is_editable: resolves(Method::Patch, &path) || resolves(Method::Delete, &path),
                navigations: navigations.filter(|name| resolves(Method::Get, &format!("{path}/{name}"))).collect(),
            }
        };
        match place {
            Place::Within(collection) => {
                self.links.entry((declared.name.clone(), collection.clone())).or_insert_with(find).clone()
            }
            Place::At(_) | Place::Nowhere => find(),
        }
    }
}

/// Returns a path in URL form: the keys in it are as the model has them.
pub fn path_in_url(path: &str) -> String {
    const PATH: &AsciiSet = &KEY.remove(b'/').remove(b'(').remove(b')').remove(b'$').remove(b'@').remove(b',');
    utf8_percent_encode(path, PATH).to_string()
}
