"""Writes and reads entities as a declarative tool does."""

import json
import uuid

from contract import contract
from entities import ENTITIES, POLICY
from entity import ENDPOINT


class Tool:
    """Writes and reads one kind of entity below one root."""

    def __init__(self, service, root, path, person, entities=ENTITIES):
        self.service, self.root, self.entity = service, root, entities[path]
        self.token = person if self.entity.by_people else None
        self.number = str(uuid.uuid4())
        self.parent = self.policy = None
        if self.entity.needs_policy():
            self.policy = Tool(service, root, f"{ENDPOINT}/provisioningPolicies", person)
            self.policy_id = self.policy.create(POLICY.required | POLICY.immutable)["id"]
        if "{" in path:
            above, place = path[: path.index("{")].rstrip("/"), path[path.index("}") + 1 :]
            self.parent = Tool(service, root, above, person)
            path = f"{above}/{self.parent.create(self.parent.entity.required | self.entity.parent)['id']}{place}"
        self.collection = f"/{root}{path}"

    def rename(self):
        """Takes another number, for the names of another entity."""
        self.number = str(uuid.uuid4())

    def text(self, values):
        """Returns values as this root knows them, with the number of this tool in them."""
        text = json.dumps(values).replace("<number>", self.number).replace("<number:.20>", self.number[:20])
        values = json.loads(text.replace("<policy>", self.policy_id) if self.policy else text)
        return contract(self.root).known(self.entity.type, values)

    def call(self, method, identity=None, query="", body=None):
        path = f"{self.collection}/{identity}" if identity else self.collection
        return self.service.call(method, path + query, body, self.token)

    def create(self, values):
        reply = self.call("POST", body=self.text(values) | self.entity.secret)
        assert reply.status == 201, reply
        self.rest()
        return reply.json()

    def update(self, identity, values):
        reply = self.call("PATCH", identity, body=self.text(values))
        assert reply.status in (200, 204), reply
        self.rest()

    def rest(self):
        """Waits until the engine has written its part."""
        if self.entity.engine:
            self.service.rest()

    def read(self, identity, names):
        """Reads these properties of an entity."""
        reply = self.call("GET", identity, f"?$select={','.join(names)}")
        assert reply.status == 200, reply
        return {name: value for name, value in reply.json().items() if name in names}

    def delete(self, identity):
        return self.call("DELETE", identity)

    def clean_up(self):
        if self.policy is not None:
            assert self.policy.delete(self.policy_id).status == 204
        if self.parent is not None:
            parent = self.collection.removesuffix("/assignments").rsplit("/", 1)[1]
            assert self.parent.delete(parent).status == 204
