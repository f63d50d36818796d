-- Install parameters and detection commands may be secret. Deployments that have ended need them no more, and reports never needed a detection command.
UPDATE actions SET params = json_remove(json_set(params, '$.agent.install_parameters', json('[]')), '$.agent.detection')
WHERE kind = 'deployAgent' AND open = 0 AND json_valid(params);
UPDATE reports SET agent = json_remove(agent, '$.detection') WHERE json_valid(agent);
