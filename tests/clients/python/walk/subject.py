"""Entities that the walk writes: each is created once for a version, with everything that can be written."""

import copy
import urllib.parse

from contract import contract
from entity import Entity
from facts import CREATED_ONLY, SINGLETONS, UPDATED, WRITTEN
from fleet import place
from tool import Tool


class Subject:
    """An entity of a version, with what the facts say of it."""

    def __init__(self, walk, root, path):
        self.walk, self.root, self.path, self.contract = walk, root, path, contract(root)
        self.entity: Entity = WRITTEN[path]
        self.is_singleton = path in SINGLETONS
        self._tool = Tool(walk.service, root, path, walk.fleet.person, WRITTEN)
        self.keys = {}
        if self._tool.parent:
            parent = path[: path.index("/{")]
            self.keys[place(parent)] = self._tool.collection.rsplit("/", 2)[1]
        self.type = self.entity.type
        self.writable = self.text(self.everything)
        self.id = None

    @property
    def created_only(self):
        """The properties that are written at creation only."""
        return {*self.entity.immutable, *CREATED_ONLY.get(self.path, ())} - UPDATED.get(self.path, set())

    @property
    def everything(self):
        entity = self.entity
        return entity.required | entity.changed | entity.kept | entity.immutable | entity.secret

    def shown(self, values):
        """Returns the part of what was written that can be read."""
        hidden = set(self.entity.secret) | set(self.entity.engine)
        return {name: value for name, value in values.items() if name not in hidden}

    def restore(self):
        """Writes everything again."""
        values = {name: value for name, value in self.writable.items() if name not in self.created_only}
        exchange = self.http("update", values)
        assert exchange.status in (200, 204), exchange.received

    def text(self, values):
        """Returns values as this version knows them."""
        return self._tool.text(copy.deepcopy(values))

    def another(self):
        """Makes the names in `text` those of another entity."""
        self._tool.rename()

    def operation(self, kind):
        """Returns the operation of this kind on the entity or its collection, or none."""
        for operation in self.contract.operations:
            on = operation.path if self.is_singleton or kind == "create" else operation.path.rpartition("/")[0]
            if operation.kind == kind and on == self.path:
                return operation
        return None

    async def call(self, kind, body=None):
        """Calls an operation of the entity, and waits until the engine has written its part."""
        exchange = await self.walk.call(self.operation(kind), body, self._keys())
        self._rest(kind)
        return exchange

    def http(self, kind, body=None, is_person=False):
        """The same over HTTP, as the caller that may, or as a person."""
        is_person = is_person or self.entity.by_people
        exchange = self.walk.http(self.operation(kind), body, self._keys(), is_person)
        self._rest(kind)
        return exchange

    def _keys(self):
        return self.keys | ({place(self.path): self.id} if self.id and not self.is_singleton else {})

    def _rest(self, kind):
        if kind != "get" and self.entity.engine:
            self.walk.service.rest()

    def read(self):
        """Reads every property of the entity."""
        properties = self.contract.properties(self.type)
        names = [name for name, declared in properties.items() if not declared.get("navigation")]
        one = (
            f"/{self.root}{self.path}"
            if self.is_singleton
            else f"{self._tool.collection}/{urllib.parse.quote(self.id)}"
        )
        reply = self.walk.service.call("GET", f"{one}?$select={','.join(names)}")
        assert reply.status == 200, reply
        return reply.json()
